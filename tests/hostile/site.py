"""A site under attack: an app with sessions, any Cookie header at all, and what is behind a cookie in the store."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from coatcheck.flask import Session, session
from coatcheck.records import Records
from coatcheck.stores import Record, Store
from coatcheck.testing import Clock
from tests.support.watched_store import WatchedStore

SECRET = "The secret key of a site under attack, which is long enough"


class Site:
    """An app on ``store``; ``settings`` are those of its ``Session``."""

    def __init__(self, store: Store, secret: str = SECRET, **settings: Any) -> None:
        self.clock = Clock()
        self.watched = WatchedStore(store)
        self.app = _make_app(secret)
        Session(self.app, store=self.watched, clock=self.clock, **settings)
        self.store: Store = store
        self._client = self.app.test_client(use_cookies=False)

    @property
    def records(self) -> Records:
        secrets = (self.app.secret_key,)
        records: Records = self.app.extensions["coatcheck"].lifecycle(secrets).records
        return records

    def visit(self, path: str, header: bytes = b"") -> TestResponse:
        """Send a request with this Cookie header, byte for byte."""
        return self._client.get(path, environ_overrides={"HTTP_COOKIE": header.decode("latin-1")})

    def read(self, cookie: str) -> dict[str, Any]:
        """Return what the session of ``cookie`` holds."""
        response = self.visit("/", f"session={cookie}".encode())
        assert response.status_code == 200
        values: dict[str, Any] = response.get_json()
        return values

    def send(self, path: str, cookie: str | None = None) -> str:
        """Send a request with ``cookie``, and return the cookie that a browser holds after it."""
        response = self.visit(path, b"" if cookie is None else f"session={cookie}".encode())
        assert response.status_code == 200
        return value_of(response.headers.get("Set-Cookie", f"session={cookie}"))

    def key(self, cookie: str) -> bytes:
        """Return the store key behind ``cookie``."""
        key: bytes | None = self.app.extensions["coatcheck"].store_key_of(cookie)
        assert key is not None
        return key

    def record(self, cookie: str) -> Record:
        """Return the live record behind ``cookie``."""
        record = self.store.read(self.key(cookie), self.clock())
        assert isinstance(record, Record)
        return record

    def overwrite(self, cookie: str, record: Record) -> None:
        """Put ``record`` where that of ``cookie`` is, as whoever writes to the store can."""
        assert self.store.replace(self.key(cookie), record, self.record(cookie).version, self.clock()) is True


def value_of(set_cookie: str) -> str:
    """Return the value in a Set-Cookie header of ours."""
    return set_cookie.partition(";")[0].removeprefix("session=")


def _make_app(secret: str) -> Flask:
    app = Flask("site")
    app.secret_key = secret

    @app.get("/")
    def read() -> dict[str, Any]:
        return dict(session)

    @app.get("/write/<value>")
    def write(value: str) -> str:
        session["value"] = value
        return ""

    @app.get("/permanent")
    def permanent() -> str:
        session.permanent = True
        session["value"] = "permanent"
        return ""

    @app.get("/times")
    def times() -> dict[str, Any]:
        return {"times": [str(session.created_at), str(session.last_seen_at), str(session.expires_at)]}

    @app.get("/login/<user>")
    def login(user: str) -> str:
        session.login(user)
        return ""

    @app.get("/user")
    def user() -> dict[str, Any]:
        return {"user": session.logged_in_as, "handle": session.handle}

    @app.get("/rotate")
    def rotate() -> str:
        session.rotate()
        return ""

    @app.get("/logout")
    def logout() -> str:
        session.logout()
        return ""

    return app
