"""The crowds: threads on each store, and processes on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coatcheck.stores import MemoryStore, Record, SQLiteStore

from .crowd import Processes, Threads


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(params=["threads on memory", "threads on SQLite", "processes on SQLite"])
def crowd(request: pytest.FixtureRequest, database: Path) -> Iterator[Threads | Processes]:
    """Those whose requests overlap."""
    if request.param == "processes on SQLite":
        processes = Processes(database)
        yield processes
        processes.end()
    else:
        yield Threads(MemoryStore() if request.param == "threads on memory" else SQLiteStore(database))


@pytest.fixture
def live_records(crowd: Threads | Processes, database: Path) -> Callable[[], int]:
    """Count what lives in the crowd's store, by looking into it: no tombstone, and not expired."""

    def count() -> int:
        now = crowd.clock()
        if isinstance(crowd, Threads) and isinstance(memory := crowd.app.extensions["coatcheck"].store, MemoryStore):
            return sum(isinstance(row, Record) and row.expires_at > now for row in memory._rows.values())
        with closing(sqlite3.connect(database)) as connection:
            live = "SELECT count(*) FROM coatcheck_sessions WHERE data IS NOT NULL AND expires_at > ?"
            (rows,) = connection.execute(live, (now,)).fetchone()
        return int(rows)

    return count
