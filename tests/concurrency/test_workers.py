"""Workers as servers run them: forked from an app that has been used, and killed in the middle of their work."""

from __future__ import annotations

import json
import logging
import multiprocessing
import random
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
from werkzeug.serving import make_server

from coatcheck.stores import SQLiteStore

from .crowd import PATIENCE, Threads, make_app, nobody

KILLS = 6
CLIENTS = 6

Notes = SimpleQueue[tuple[str, int]]  # the cookie of a session, and the hits it is known to have


@pytest.mark.parametrize("survivor", ["parent", "child"])
def test_an_app_that_was_used_before_a_fork_works_after_it_in_both_processes(
    database: Path, survivor: str, pytestconfig: pytest.Config
) -> None:
    """What both write at once after the fork is there, and what one writes when the other has ended.

    The sessions that each of them starts have tokens of their own (CVE-2018-25060: not unique after a fork).
    """
    command = [sys.executable, "-W", "error", "-m", "tests.concurrency.prefork", str(database), survivor]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    *alone, cookie = done.stdout.split()
    crowd = Threads(SQLiteStore(database))
    written = {f"{who}{number}" for who in ("before", "parent", "child", "after") for number in range(13)}
    assert crowd.visit("/", cookie).values.keys() == written | {"first"}
    assert len(set(alone)) == 2
    for other in alone:
        assert crowd.visit("/", other).values == {"alone": "alone"}


def test_after_kill_9_every_session_whose_response_was_sent_is_there(database: Path) -> None:
    """Law 11, committed before answered: a worker that is killed under load loses nothing of what it has confirmed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    known: dict[str, int] = {}
    worker, port = start_worker(database)
    for _ in range(KILLS):
        notes: Notes = SimpleQueue()
        clients = [Thread(target=send_load, args=(port, notes)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(rng.randrange(20, 200)):
            known.update([notes.get(timeout=PATIENCE)])
        worker.kill()
        worker.join(PATIENCE)
        for client in clients:
            client.join(PATIENCE)
        while not notes.empty():
            known.update([notes.get()])
        worker, port = start_worker(database)
        for cookie, hits in known.items():
            values, _ = ask(port, "/", cookie)
            assert values.get("first") == "first"
            assert values.get("hits", 0) in (hits, hits + 1)  # the last request may have been saved and not answered
    worker.kill()
    worker.join(PATIENCE)


def start_worker(database: Path) -> tuple[BaseProcess, int]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=serve, args=(database, there), daemon=True)
    worker.start()
    return worker, here.recv()


def serve(database: Path, pipe: Connection) -> None:
    """Serve HTTP with a thread for each request, and say on which port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, make_app(SQLiteStore(database), time.time, nobody), threaded=True)
    pipe.send(server.server_port)
    server.serve_forever()


def send_load(port: int, notes: Notes) -> None:
    """Start sessions and use each four times until the server is gone; note what each whole response confirms."""
    try:
        while True:
            _, cookie = ask(port, "/set/first")
            assert cookie is not None
            notes.put((cookie, 0))
            for hits in range(1, 5):
                ask(port, "/add", cookie)
                notes.put((cookie, hits))
    except (OSError, HTTPException):
        return


def ask(port: int, path: str, cookie: str | None = None) -> tuple[dict[str, Any], str | None]:
    """Send a request and return the body and the cookie of a response that arrived whole."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={} if cookie is None else {"Cookie": f"session={cookie}"})
        response = connection.getresponse()
        values = json.loads(response.read())
        assert response.status == 200
        set_cookie = response.getheader("Set-Cookie")
    finally:
        connection.close()
    return values, None if set_cookie is None else set_cookie.partition(";")[0].removeprefix("session=")
