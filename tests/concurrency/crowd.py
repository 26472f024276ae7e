"""Requests that overlap for certain: each reads the session, waits until all have read it, and only then goes on.

A crowd is one app (:class:`Threads`), or one app in each of several processes on one file (:class:`Processes`).
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.test import create_environ, run_wsgi_app

from coatcheck.flask import Session, session
from coatcheck.policy import Policy
from coatcheck.stores import SQLiteStore, Store
from coatcheck.testing import Clock

RENEW_AFTER = 900.0
WORKERS = 2

#: How long anybody waits for the others, in seconds: a request that fails must not hold up the rest for ever.
PATIENCE = 60.0


class Answer(NamedTuple):
    """What a response said; ``cookie`` is the value that was set, empty if it was deleted, None if neither."""

    status: str
    values: dict[str, Any]
    cookie: str | None


def nobody() -> None:
    """Wait for no other process."""


class Threads:
    """An app, and any number of threads that send it requests at once.

    :param everybody: is called when all threads here have read, and returns when those of the other processes have.
    """

    def __init__(self, store: Store, everybody: Callable[[], Any] = nobody) -> None:
        self.clock = Clock()
        self.everybody = everybody
        self.all_have_read = Barrier(1)
        self.app = make_app(store, self.clock, self.meet)
        # Made once: the test client makes one for each request, which takes longer than the request itself.
        self._environ = create_environ()

    def meet(self) -> None:
        self.all_have_read.wait(PATIENCE)

    def visit(self, path: str, cookie: str | None = None) -> Answer:
        """Send one request and return its answer."""
        environ = {**self._environ, "PATH_INFO": path, "HTTP_COOKIE": "" if cookie is None else f"session={cookie}"}
        body, status, headers = run_wsgi_app(self.app, environ)
        set_cookie = headers.get("Set-Cookie")
        value = None if set_cookie is None else set_cookie.partition(";")[0].removeprefix("session=")
        text = b"".join(body)
        return Answer(status, json.loads(text) if status == "200 OK" else {}, value)

    def visit_at_once(self, paths: Sequence[str], cookie: str) -> list[Answer]:
        """Send a request to each of ``paths``, each from a thread of its own, and return the answers in that order."""
        self.all_have_read = Barrier(len(paths), self.everybody)
        with ThreadPoolExecutor(len(paths)) as threads:
            answers = list(threads.map(lambda path: self.visit(path, cookie), paths))
        self.all_have_read = Barrier(1)
        return answers

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.advance(seconds)


class Processes:
    """As :class:`Threads`, spread over some processes, each with its own app on the SQLite file ``path``."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        context = multiprocessing.get_context("spawn")
        self._everybody = context.Barrier(WORKERS, timeout=PATIENCE)
        self._workers = []
        self._pipes: list[Connection] = []
        for _ in range(WORKERS):
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(path, there, self._everybody.wait), daemon=True)
            worker.start()
            there.close()
            self._workers.append(worker)
            self._pipes.append(here)

    def visit(self, path: str, cookie: str | None = None) -> Answer:
        """See :meth:`Threads.visit`."""
        self._pipes[0].send(("visit", (path, cookie)))
        answer: Answer = self._pipes[0].recv()
        return answer

    def visit_at_once(self, paths: Sequence[str], cookie: str) -> list[Answer]:
        """See :meth:`Threads.visit_at_once`. The workers take turns in getting the paths."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(("visit_at_once", (paths[number::WORKERS], cookie)))
        answers: dict[int, Answer] = {}
        for number, pipe in enumerate(self._pipes):
            answers.update(zip(range(number, len(paths), WORKERS), pipe.recv(), strict=True))
        return [answers[number] for number in range(len(paths))]

    def advance(self, seconds: float) -> None:
        """See :meth:`Threads.advance`."""
        self.clock.advance(seconds)
        for pipe in self._pipes:
            pipe.send(("advance", (seconds,)))
        for pipe in self._pipes:
            pipe.recv()

    def end(self) -> None:
        """Let the workers go, which end when their pipe does."""
        for pipe, worker in zip(self._pipes, self._workers, strict=True):
            pipe.close()
            worker.join(PATIENCE)
            assert worker.exitcode == 0


def _work(path: Path, pipe: Connection, everybody: Callable[[], Any]) -> None:
    crowd = Threads(SQLiteStore(path), everybody)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(crowd, method)(*arguments))


def make_app(store: Store, clock: Callable[[], float], meet: Callable[[], object]) -> Flask:
    """Return an app whose views read the session, call ``meet``, and then change it."""
    app = Flask("crowd")
    app.secret_key = "The secret key that all workers of a crowd share"
    Session(app, store=store, policy=Policy(renew_after=RENEW_AFTER), clock=clock)

    @app.get("/")
    def read() -> dict[str, Any]:
        return dict(session)

    @app.get("/meet")
    def read_and_meet() -> dict[str, Any]:
        session.get("first")
        meet()
        return {}

    @app.get("/set/<key>")
    def write(key: str) -> str:
        session.get(key)
        meet()
        session[key] = key
        return "{}"

    @app.get("/add")
    def add() -> str:
        session.get("hits")
        meet()
        session.atomic(lambda s: s.update(hits=s.get("hits", 0) + 1))
        return "{}"

    @app.get("/rotate")
    def rotate() -> str:
        session.get("first")
        meet()
        session.rotate()
        return "{}"

    @app.get("/logout")
    def logout() -> str:
        session.get("first")
        meet()
        session.logout()
        return "{}"

    return app
