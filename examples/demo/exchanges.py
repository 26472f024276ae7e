"""Keeps the last few exchanges with each visitor, so that the page can show what travelled.

A WSGI middleware and not an ``after_request`` function, because Flask saves the session after the last of those:
only out here is the session's own Set-Cookie to be seen.

It keeps to what the page preaches. Somebody who only reads gets no cookie and leaves nothing here: the first POST
gives a visitor the cookie that says whose timeline is whose. The number of visitors and of exchanges is bounded.
Tokens are masked *before* they are kept, so that nobody can read them out of this memory.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug.http import dump_cookie

from coatcheck.cookies import cookie_values

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VISITOR_COOKIE = "demo_visitor"
VISITORS = 200
EXCHANGES_PER_VISITOR = 30

# A run of base64url too long to be a date or a word; what follows a token after a dot stays to be seen.
_TOKEN = re.compile(r"([\w-]{4})[\w-]{8,}([\w-]{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One Set-Cookie header, taken apart. An attribute without a value (``Secure``) has an empty one."""

    name: str
    value: str
    attributes: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> SetCookie:
        """Split ``header`` as a browser does (RFC 6265 §5.2): at each semicolon, then at the first equals sign."""
        (name, value), *rest = ([part.strip() for part in item.partition("=")[::2]] for item in header.split(";"))
        return cls(name, value, {key.lower(): setting for key, setting in rest})


@dataclass(frozen=True, slots=True)
class Note:
    """What a view did, for people: the section of the page it belongs to, a sentence, and the line of code."""

    section: str
    sentence: str
    code: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. ``at`` is in seconds since 1970."""

    at: float
    method: str
    path: str
    cookies: tuple[tuple[str, str], ...]
    status: str
    set_cookies: tuple[SetCookie, ...]
    note: Note | None


class Exchanges:
    """The middleware, and the page's way to ask it. ``token_cookies`` names the cookies whose values are masked."""

    def __init__(self, app: WSGIApplication, token_cookies: Iterable[str], clock: Callable[[], float] = time.time):
        self._app = app
        self._masked = {*token_cookies, VISITOR_COOKIE}
        self._clock = clock
        self._visitors: OrderedDict[str, deque[Exchange]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer by the wrapped application and note the exchange, unless it is for a static file."""
        known = visitor_of(environ)
        visitor = known or (secrets.token_urlsafe(16) if environ["REQUEST_METHOD"] == "POST" else None)
        if visitor is None or environ["PATH_INFO"].startswith("/static/"):
            return self._app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            if not known:
                headers.append(("Set-Cookie", dump_cookie(VISITOR_COOKIE, visitor, httponly=True, samesite="Lax")))
            self._keep(visitor, self._exchange(environ, status, headers))
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)

    def of(self, environ: WSGIEnvironment) -> list[Exchange]:
        """Return this visitor's exchanges before the current one, newest first."""
        with self._lock:
            return list(self._visitors.get(visitor_of(environ) or "", ()))

    def last_set_cookie(self, environ: WSGIEnvironment, name: str) -> SetCookie | None:
        """Return the newest Set-Cookie for ``name`` that this visitor was sent: a browser never says it again."""
        sent = (cookie for exchange in self.of(environ) for cookie in exchange.set_cookies)
        return next((cookie for cookie in sent if cookie.name == name), None)

    def cookies_sent(self, environ: WSGIEnvironment) -> tuple[tuple[str, str], ...]:
        """Return the names and values in the request's Cookie header, in its order, tokens masked."""
        pairs = (item.strip().partition("=")[::2] for item in environ.get("HTTP_COOKIE", "").split(";"))
        return tuple((name, self._mask(name, value)) for name, value in pairs if name or value)

    def _exchange(self, environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]]) -> Exchange:
        answered = (SetCookie.parse(value) for name, value in headers if name.lower() == "set-cookie")
        return Exchange(
            at=self._clock(),
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            cookies=self.cookies_sent(environ),
            status=status,
            set_cookies=tuple(SetCookie(c.name, self._mask(c.name, c.value), c.attributes) for c in answered),
            note=environ.get("demo.note"),
        )

    def _mask(self, name: str, value: str) -> str:
        return _TOKEN.sub(r"\1…\2", value) if name in self._masked else value

    def _keep(self, visitor: str, exchange: Exchange) -> None:
        with self._lock:
            self._visitors.setdefault(visitor, deque(maxlen=EXCHANGES_PER_VISITOR)).appendleft(exchange)
            self._visitors.move_to_end(visitor)
            if len(self._visitors) > VISITORS:
                self._visitors.popitem(last=False)


def visitor_of(environ: WSGIEnvironment) -> str | None:
    """Return the visitor's id from the Cookie header, if it has the form that we give out."""
    values = cookie_values(environ.get("HTTP_COOKIE", ""), VISITOR_COOKIE)
    return values[0] if values and re.fullmatch(r"[\w-]{22}", values[0], re.ASCII) else None
