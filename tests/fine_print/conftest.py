"""What the fine print's tests share: both stores, a clock, and a website on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.stores import MemoryStore, SQLiteStore
from coatcheck.testing import Clock
from tests.fine_print.website import KeyedStore, Website


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyedStore]:
    """Each of the stores, watched."""
    if request.param == "memory":
        yield KeyedStore(MemoryStore())
        return
    sqlite = SQLiteStore(tmp_path / "sessions.db")
    yield KeyedStore(sqlite)
    sqlite.close()


@pytest.fixture
def clock() -> Clock:
    """The time, which stands still until a test moves it."""
    return Clock()


@pytest.fixture
def site(store: KeyedStore, clock: Clock) -> Website:
    """A website with the default settings."""
    return Website(store, clock)
