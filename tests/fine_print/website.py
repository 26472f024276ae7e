"""A website for tests, whose one view does what the request brings along; and a store that knows its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask, request

from coatcheck.flask import Session, session
from coatcheck.session import Session as SessionDict
from coatcheck.stores import Record, Store
from coatcheck.testing import Clock
from tests.support.watched_store import WatchedStore

SECRET = "a secret key that is long enough for a test"

#: For a law that does not concern the store.
in_memory = pytest.mark.parametrize("store", ["memory"], indirect=True)

View = Callable[[SessionDict], object]


class KeyedStore(WatchedStore):
    """A watched store that also knows which records are live."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._keys: set[bytes] = set()
        self._late_verb: str | None = None

    def create(self, key: bytes, record: Record, now: float) -> bool:
        self._keys.add(key)
        return super().create(key, record, now)

    def before_each(self, verb: str, *acts: Callable[[], object]) -> None:
        """Call the first of ``acts`` right before the next ``verb``, the second one before the one after, and so on."""
        if acts:
            self.before(verb, lambda: (acts[0](), self.before_each(verb, *acts[1:])))

    def deliver_late(self, verb: str) -> None:
        """Let the answer to the next ``verb`` be lost, and let it be carried out only right before the one after it."""
        self._late_verb = verb

    def _perform(self, verb: str, *arguments: Any) -> Any:
        if verb != self._late_verb:
            return super()._perform(verb, *arguments)
        self._late_verb = None
        self.lose_answer(verb, carried_out=False)
        self.before(verb, lambda: self.before(verb, lambda: getattr(self.store, verb)(*arguments)))
        return super()._perform(verb, *arguments)

    def live(self, now: float) -> set[bytes]:
        """Return the keys of all live records, pointers included."""
        return {key for key in self._keys if isinstance(self.store.read(key, now), Record)}


@dataclass(frozen=True)
class Answer:
    """What came back. ``value``: what the view returned; ``cookie``: the session cookie the browser holds now."""

    status: int
    text: str
    value: Any
    cookie: str | None
    set_cookies: list[str]


class Website:
    """An application on ``store``; ``config`` holds further Flask keys. What a view raises, :meth:`visit` raises."""

    def __init__(self, store: KeyedStore, clock: Clock, **config: Any) -> None:
        self.store = store
        self.clock = clock
        self.app = Flask(__name__)
        self.app.config.update(SECRET_KEY=SECRET, SESSION_STORE=store, PROPAGATE_EXCEPTIONS=True)
        self.app.config.update(config)
        self.sessions = Session(self.app, clock=clock)
        self.manager = self.app.extensions["coatcheck"]
        self.app.add_url_rule("/", view_func=_view)

    def visit(self, view: View, cookie: str | None = None) -> Answer:
        """Send one request whose view calls ``view(session)``."""
        returned: list[object] = []
        headers = {} if cookie is None else {"Cookie": f"session={cookie}"}
        overrides = {"view": lambda: returned.append(view(session))}
        response = self.app.test_client(use_cookies=False).get("/", headers=headers, environ_overrides=overrides)
        set_cookies = response.headers.getlist("Set-Cookie")
        for header in set_cookies:
            cookie = SimpleCookie(header)["session"].value or None
        return Answer(response.status_code, response.text, returned[0] if returned else None, cookie, set_cookies)

    def look(self, cookie: str | None) -> dict[str, Any]:
        """Return what a visitor with this cookie finds in the session: ``{}`` if it opens none."""
        found: dict[str, Any] = self.visit(dict, cookie).value
        return found

    def key(self, cookie: str | None) -> bytes:
        """Return the store key of a cookie."""
        assert cookie is not None
        key: bytes = self.manager.store_key_of(cookie)
        return key

    def calls(self, view: View, cookie: str | None = None) -> list[str]:
        """Return the store verbs that one request asks for."""
        before = len(self.store.calls)
        self.visit(view, cookie)
        return self.store.calls[before:]


def _view() -> str:
    request.environ["view"]()
    return "done"


class Killed(BaseException):
    """The process of a worker is gone: nothing in it goes on."""


def kill() -> None:
    raise Killed


def who(session: SessionDict) -> str | int | None:
    return session.logged_in_as


def logout(session: SessionDict) -> None:
    session.logout()


def keep(**values: Any) -> View:
    """Return a view that puts ``values`` into the session."""
    return lambda session: session.update(values)
