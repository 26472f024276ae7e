"""The Flask adapter: ``Session(app)``, and ``flask.session`` is ours.

It knows Flask and nothing else: when a session is opened and saved, where its settings are, which headers go out.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

import flask
from flask.sessions import SessionInterface as FlaskSessionInterface
from werkzeug.exceptions import InternalServerError, ServiceUnavailable
from werkzeug.wsgi import ClosingIterator

from .codec import decode
from .cookies import SetCookie, cookie_values
from .errors import ConfigurationError, StoreError
from .flask_config import Settings, read_settings
from .policy import Policy, Terms
from .session import PERMANENT, Loaded, encode_values
from .session import Session as _Session
from .sessions import Secrets, Sessions, describe
from .stores import Store
from .tokens import parse_cookie_value

if TYPE_CHECKING:
    from flask import Flask, Request, Response
    from flask.sessions import SessionMixin

__all__ = ["NullSession", "Session", "SessionInterface", "SessionUnavailable", "session"]

logger = logging.getLogger("coatcheck")

#: ``flask.session``, typed as what it is.
session = cast(_Session, flask.session)

# What a response may not keep of the view's when its session could not be saved.
_OF_THE_VIEW = (
    "Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range",
    "Content-Location", "Content-Type", "ETag", "Expires", "Last-Modified", "Location", "Refresh", "Set-Cookie",
    "X-Accel-Redirect", "X-Sendfile",
)  # fmt: skip


class SessionUnavailable(ServiceUnavailable, StoreError):
    """The answer 503 to a request whose session could not be read or saved. Its cause is the :class:`StoreError`.

    ``@app.errorhandler(503)`` and ``@app.errorhandler(StoreError)`` both handle it.
    """

    description = "Your session cannot be reached at the moment. Please try again."


class Session:
    """Gives an application server-side sessions; ``Session(app)`` or ``Session().init_app(app)``.

    :param store: where sessions are kept: a URL such as ``"sqlite:///sessions.db"``, or a store. Without it, the
        application's ``SESSION_STORE``, or else the file ``sessions.db`` in its instance folder.
    :param policy: how sessions are kept; without it, the ``SESSION_…`` keys named like the policy's fields.
    :param application: separates applications that share a store or a secret key; ``SESSION_APPLICATION``.
    :param clock: returns the time in seconds since 1970.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        store: str | Store | None = None,
        policy: Policy | None = None,
        application: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read_settings = partial(read_settings, store=store, policy=policy, application=application)
        self._clock = clock
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up ``app``. A second time with the same settings changes nothing.

        :raises ConfigurationError: for settings that cannot work, or that differ from those it was set up with.
        """
        settings = self._read_settings(app)
        if "coatcheck" in app.extensions:
            if app.extensions["coatcheck.settings"] != settings:
                raise ConfigurationError(
                    "Session(app) was called twice with different settings; call it once, after the configuration"
                )
            return
        _set_up(app, settings, self._clock)
        app.session_interface = SessionInterface()


class NullSession(flask.sessions.NullSession):
    """The session of an application without a secret key: it reads as empty, and writing is Flask's own error."""

    logged_in_as = handle = created_at = last_seen_at = expires_at = None
    login = logout = rotate = regenerate = reauthenticated = atomic = flask.sessions.NullSession.clear


class SessionInterface(FlaskSessionInterface):
    """What Flask asks at the beginning and the end of a request. It keeps nothing, and may serve many applications."""

    null_session_class = NullSession

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """Return the session of ``request``, to be loaded when it is first used; ``None`` without a secret key."""
        if not app.secret_key:
            return None
        opened = _Session()
        opened._loader = partial(self._load, app, request.environ)
        opened._loading = threading.Lock()
        first = not hasattr(request, "_coatcheck_opened")
        if not (first and flask.has_request_context() and flask.request == request):
            # The test client's session_transaction() opens a second one, and others open one outside of any request:
            # there nobody sets ``accessed``.
            opened.accessed = True
        request._coatcheck_opened = True  # type: ignore[attr-defined]
        return cast("SessionMixin", opened)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commit what the request made of its session, and send what the browser and the caches need to know."""
        ours = cast(_Session, session)
        if _streams(response) or ours.accessed or ours._loader is None:
            _vary(response)
        if ours._unread is not None and ours.modified and response.status_code < 500:
            _answer_instead(app, response, ours._unread)  # the view went on all the same, and what it wrote is lost
        if ours._closed:
            return  # the answer to an error of the session itself; there is nothing to save any more
        if ours._loader is None:
            ours._closed = True
            self._save(app, ours, response)
        else:
            self._save_untouched(app, ours, response)

    def regenerate(self, session: _Session) -> None:
        """Flask-Session's name for ``session.rotate()``."""
        session.rotate()

    def _load(self, app: Flask, environ: dict[str, Any], session: _Session) -> None:
        session._permanent_if_new = bool(app.config.get("SESSION_PERMANENT"))
        cookies = cookie_values(environ.get("HTTP_COOKIE", ""), self.get_cookie_name(app))
        if not cookies:
            return
        try:
            sessions = _sessions(app)
            found = sessions.load(sessions.lifecycle(_secrets(app)), cookies)
        except StoreError as error:
            # Raised once; an error page may then show the session, as empty. Nothing of it is saved.
            session._closed = True
            session._loader = None
            session._unread = _unavailable(error)
            raise session._unread from error
        session._loaded, session._moved_to = found.loaded, found.moved_to
        dict.update(session, found.values)

    def _save(self, app: Flask, session: _Session, response: Response) -> None:
        terms, before, sessions = _terms(app), session._loaded, _sessions(app)
        try:
            committed = sessions.commit(sessions.lifecycle(_secrets(app)), session, terms)
        except StoreError as error:
            _answer_instead(app, response, _unavailable(error))
        except Exception as error:  # noqa: BLE001 (whatever a replayed function raises is the application's to handle)
            _answer_instead(app, response, error)
        else:
            stored = committed.loaded
            if committed.ended:
                self._send_cookie(response, self._cookie(app).deletion())
            elif stored is not None:
                prolonged = session.permanent and (before is None or stored.record is not before.record)
                if committed.new_token or prolonged or self.should_set_cookie(app, cast(Any, session)):
                    self._send_session_cookie(app, response, stored, terms)
            if _streams(response):
                response.call_on_close(partial(_report_late_changes, session, encode_values(session)))

    def _save_untouched(self, app: Flask, session: _Session, response: Response) -> None:
        """Keep Flask's promise that each request renews a permanent session, without asking the store each time."""
        if _streams(response):
            response.call_on_close(partial(_report_late_changes, session, None))
        cookies = cookie_values(flask.request.environ.get("HTTP_COOKIE", ""), self.get_cookie_name(app))
        parsed = next(filter(None, map(parse_cookie_value, cookies)), None)
        if parsed is None or parsed.refreshed_at is None:
            return
        sessions, terms = _sessions(app), _terms(app)
        interval = terms.touch_interval(permanent=True, lifetime=parsed.lifetime)
        if interval is None:
            return
        _vary(response)
        if sessions.clock() - parsed.refreshed_at < interval:
            return
        try:
            refreshed = sessions.refresh(sessions.lifecycle(_secrets(app)), cookies, terms)
        except StoreError as error:
            logger.warning("a session was not refreshed: %s", error)  # the page did not need it
            return
        if refreshed.loaded is not None:
            self._send_session_cookie(app, response, refreshed.loaded, terms)

    def _send_session_cookie(self, app: Flask, response: Response, loaded: Loaded, terms: Terms) -> None:
        now = _sessions(app).clock()
        value, max_age, lifetime = loaded.token.cookie_value(), None, loaded.life.lifetime
        if decode(loaded.values).get(PERMANENT):  # as it was stored: another request may have said so meanwhile
            until = now + terms.expires_after(True, lifetime) if terms.refresh else loaded.record.expires_at
            max_age = min(until, loaded.life.ends_at) - now
            value = loaded.token.cookie_value(loaded.record.last_seen, lifetime)
        self._send_cookie(response, self._cookie(app).header(value, now, max_age))

    def _send_cookie(self, response: Response, header: str) -> None:
        response.headers.add("Set-Cookie", header)
        # CVE-2024-26144 in Rails: a shared cache gave one visitor's Set-Cookie to all (law 12).
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private"
        elif not (cache := response.cache_control).no_store:
            cache.public = False
            cache.s_maxage = None
            cache.private = True

    def _cookie(self, app: Flask) -> SetCookie:
        return _set_cookie(
            self.get_cookie_name(app),
            self.get_cookie_path(app),
            self.get_cookie_domain(app),
            self.get_cookie_secure(app),
            self.get_cookie_httponly(app),
            self.get_cookie_samesite(app),
            self.get_cookie_partitioned(app),
        )


_set_cookie = lru_cache(maxsize=64)(SetCookie)


def _set_up(app: Flask, settings: Settings, clock: Callable[[], float]) -> Sessions:
    if flask.sessions.SessionMixin.accessed:
        raise ConfigurationError(
            "this Flask does not say when a view uses the session (CVE-2026-27205); install Flask 3.1.3 or later"
        )
    sessions = Sessions(settings.open_store(), policy=settings.policy, application=settings.application, clock=clock)
    if app.secret_key:
        sessions.lifecycle(_secrets(app))
    SessionInterface()._cookie(app)
    app.extensions["coatcheck.settings"] = settings
    logger.info("sessions are kept in %r: %s", sessions.store, describe(sessions.policy, _terms(app)))
    return cast(Sessions, app.extensions.setdefault("coatcheck", sessions))  # two first requests may both come here


def _sessions(app: Flask) -> Sessions:
    sessions: Sessions | None = app.extensions.get("coatcheck")
    # An interface that was set on a class of applications meets each of them for the first time here.
    return _set_up(app, read_settings(app), time.time) if sessions is None else sessions


def _secrets(app: Flask) -> Secrets:
    """Flask lets an application set its keys late, and change them between two requests."""
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS") or ()
    if isinstance(fallbacks, str | bytes):
        raise ConfigurationError(
            "SECRET_KEY_FALLBACKS is one string, of which each character would be a key; write a list: [old_key]"
        )
    return (cast("str | bytes", app.secret_key), *fallbacks)


def _terms(app: Flask) -> Terms:
    return Terms(
        lifetime=app.permanent_session_lifetime.total_seconds(),
        refresh=bool(app.config["SESSION_REFRESH_EACH_REQUEST"]),
    )


def _streams(response: Response) -> bool:
    """Say whether a generator of the application makes the body, and may use the session while it is sent.

    The body of a file is passed through, and that of an error page is a ClosingIterator: both are streamed, but not by
    the application.
    """
    body = response.response
    return response.is_streamed and not response.direct_passthrough and not isinstance(body, ClosingIterator)


def _vary(response: Response) -> None:
    if response.headers.getlist("Vary"):
        response.vary.add("Cookie")
    else:
        response.headers.add("Vary", "Cookie")


def _unavailable(error: StoreError) -> SessionUnavailable:
    logger.error("a request was answered 503: %s", error)
    unavailable = SessionUnavailable()
    unavailable.__cause__ = error
    return unavailable


def _answer_instead(app: Flask, response: Response, error: Exception) -> None:
    """Turn ``response`` into the application's own answer to ``error``.

    Raised from here, the error would be a plain 500 whatever handlers the application has, and the functions of
    ``after_request`` would run a second time. What they added to the headers stays.
    """
    answer = app.make_response(_handle(app, error))
    for name in _OF_THE_VIEW:
        response.headers.remove(name)
    close = getattr(response.response, "close", None)
    if close is not None:
        response.call_on_close(close)
    response.status = answer.status
    response.direct_passthrough = answer.direct_passthrough
    response.response = answer.response
    response.headers.update(answer.headers)
    _vary(response)


def _handle(app: Flask, error: Exception) -> Any:
    """Do with ``error`` as Flask does with one from a view."""
    try:
        return app.handle_user_exception(error)
    except Exception as unhandled:
        propagate = app.config["PROPAGATE_EXCEPTIONS"]
        if app.testing or app.debug if propagate is None else propagate:
            raise
        flask.got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=unhandled)
        app.log_exception(cast(Any, sys.exc_info()))
        return app.handle_user_exception(InternalServerError(original_exception=unhandled))


def _report_late_changes(session: _Session, encoded: bytes | None) -> None:
    """A streamed response is on its way when its generator runs: what that writes cannot be saved any more."""
    if session._loader is not None:
        return
    if encoded is None and session._loaded is not None:  # the generator was the first to use the session
        encoded = session._loaded.values
    committed: dict[str, Any] = {} if encoded is None else decode(encoded)
    missing = object()
    late = [key for key in {**committed, **session} if committed.get(key, missing) != session.get(key, missing)]
    if late:
        keys = ", ".join(map(str, late))
        logger.warning("changes to the session after the response had begun are lost; keys: %s", keys)
