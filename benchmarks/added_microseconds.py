"""How many microseconds a session adds to a Flask request, over the same application without one.

    .venv/bin/python benchmarks/added_microseconds.py [ROUNDS]

Calls the WSGI application itself, with no server. Contenders take turns in small batches, so that a machine whose
speed drifts does so for all of them alike; what is printed is the difference of medians, with the quartiles of rounds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import flask

from coatcheck import MemoryStore, SQLiteStore
from coatcheck.flask import Session

BATCH = 50

# The reference session of the project's figures: about 200 bytes, among them a datetime.
SMALL = {
    "user_id": 4711, "name": "Ann Example", "csrf": "0123456789abcdef" * 2, "roles": ["admin", "editor", "author"],
    "last_seen": datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
}  # fmt: skip


def application(prepare: Callable[[flask.Flask], object] | None) -> flask.Flask:
    """Return an application with one view a path, and sessions as ``prepare`` sets them up."""
    app = flask.Flask("bench")
    app.secret_key = "benchmark-secret-key-of-32-bytes-or-more"
    if prepare is None:
        app.session_interface = NoSession()
    else:
        prepare(app)

    @app.get("/untouched")
    def untouched() -> str:
        return "ok"

    @app.get("/read")
    def read() -> str:
        return "ok" if prepare is None or flask.session["user_id"] else ""

    @app.get("/write")
    def write() -> str:
        if prepare is not None:
            flask.session["n"] = flask.session.get("n", 0) + 1
        return "ok"

    @app.get("/start")
    def start() -> str:
        flask.session.update(SMALL)
        return "ok"

    return app


class NoSession(flask.sessions.SessionInterface):
    """Opens the null session and saves nothing: the floor."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> flask.sessions.SessionMixin:
        return flask.sessions.NullSession()


class Contender:
    """One application, called over and over with one prepared request a path."""

    def __init__(self, app: flask.Flask, cookie: str = "") -> None:
        self.app = app
        self.cookie = cookie

    def batch(self, path: str, with_cookie: bool) -> float:
        """Return the microseconds of one request, over a batch."""
        extra = {"HTTP_COOKIE": self.cookie} if with_cookie and self.cookie else {}
        environs = [
            {**_ENVIRON, **extra, "PATH_INFO": path, "wsgi.errors": sys.stderr, "wsgi.input": sys.stdin.buffer}
            for _ in range(BATCH)
        ]
        began = time.perf_counter()
        for environ in environs:
            for _ in self.app.wsgi_app(environ, _ignore):
                pass
        return (time.perf_counter() - began) / BATCH * 1e6


_ENVIRON = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
    "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
}  # fmt: skip


def _ignore(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
    return lambda data: None


def logged_in(app: flask.Flask) -> Contender:
    """Start a session and return the contender that carries its cookie."""
    client = app.test_client()
    client.get("/start")
    cookie = client.get_cookie("session")
    assert cookie is not None
    return Contender(app, f"session={cookie.value}")


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        floor = Contender(application(None))
        contenders = {
            "Flask's own signed cookie": logged_in(application(lambda app: None)),
            "coatcheck, memory": logged_in(application(lambda app: Session(app, store=MemoryStore()))),
            "coatcheck, SQLite": logged_in(
                application(lambda app: Session(app, store=SQLiteStore(Path(folder, "sessions.db"))))
            ),
        }
        paths = {
            "no cookie, untouched": ("/untouched", False),
            "cookie, untouched": ("/untouched", True),
            "read one key": ("/read", True),
            "write one key": ("/write", True),
        }
        print(f"added microseconds a request over bare Flask: median (quartiles) of {rounds} rounds of {BATCH}")
        for label, (path, with_cookie) in paths.items():
            added: dict[str, list[float]] = {name: [] for name in contenders}
            for _ in range(rounds):
                bare = floor.batch(path, with_cookie)
                for name, contender in contenders.items():
                    added[name].append(contender.batch(path, with_cookie) - bare)
            for name, figures in added.items():
                low, middle, high = statistics.quantiles(figures, n=4)
                print(f"{label:22} {name:28} {middle:7.1f}  ({low:.1f} .. {high:.1f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
