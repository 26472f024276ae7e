"""A pre-fork server in small: an app that is used, then forked as ``gunicorn --preload`` does, and used in both.

``python -m tests.concurrency.prefork sessions.db parent`` prints the cookies of the session that each process starts,
and, last, of the one that both write to. One process ends, with the interpreter's own clearing up; the other, named on
the command line, outlives it, writes once more and is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

from coatcheck.stores import SQLiteStore

from .crowd import PATIENCE, Threads, nobody


def main(path: str, survivor: str) -> None:
    everybody = multiprocessing.get_context("fork").Barrier(2, timeout=PATIENCE)
    crowd = Threads(SQLiteStore(path))
    cookie = crowd.visit("/set/first").cookie
    assert cookie is not None
    write_13_keys(crowd, "before", cookie)
    crowd.everybody = everybody.wait
    reading, writing = os.pipe()
    name = "parent" if os.fork() else "child"
    write_13_keys(crowd, name, cookie)
    print(crowd.visit("/set/alone").cookie, flush=True)
    if name == survivor:
        os.close(writing)
        assert os.read(reading, 1) == b""  # the other has ended: nobody can write to the pipe any more
        crowd.everybody = nobody
        write_13_keys(crowd, "after", cookie)
        print(cookie, flush=True)
        os._exit(0)  # as if killed: what it has written is there without its clearing up


def write_13_keys(crowd: Threads, name: str, cookie: str) -> None:
    answers = crowd.visit_at_once([f"/set/{name}{number}" for number in range(13)], cookie)
    assert {answer.status for answer in answers} == {"200 OK"}


if __name__ == "__main__":
    main(*sys.argv[1:])
