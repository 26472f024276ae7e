"""The site under attack, on each store."""

from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck.stores import MemoryStore, SQLiteStore, Store

from .site import Site


@pytest.fixture(params=["memory", "SQLite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db")


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)
