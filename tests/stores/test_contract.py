"""Both stores keep the whole contract of coatcheck.stores.contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck.stores import MemoryStore, Purges, Record, SQLiteStore, Store
from coatcheck.testing import check_store


def one(store: Store) -> Callable[[], Store]:
    """The same store for every check."""
    return lambda: store


def test_memory_store_keeps_the_contract() -> None:
    """MemoryStore owes, and does, everything the contract says."""
    check_store(MemoryStore)


def test_memory_store_keeps_the_contract_with_records_of_others() -> None:
    """MemoryStore keeps the contract whatever else it holds, and with a key prefix."""
    check_store(one(MemoryStore(key_prefix="café:")))


def test_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    """SQLiteStore owes, and does, everything the contract says; each check has a store of its own on the same file."""
    check_store(lambda: SQLiteStore(tmp_path / "sessions.db"))


def test_sqlite_store_keeps_the_contract_in_one_pool(tmp_path: Path) -> None:
    """SQLiteStore keeps the contract with one pool for all checks, and with a key prefix."""
    check_store(one(SQLiteStore(tmp_path / "sessions.db", key_prefix="café:")))


@pytest.mark.parametrize("store", [MemoryStore, SQLiteStore])
def test_both_stores_are_what_they_say(store: type[MemoryStore] | type[SQLiteStore], tmp_path: Path) -> None:
    """Both stores are recognised as stores, and as able to purge, so that check_store leaves no check out."""
    made = store(str(tmp_path / "sessions.db"))
    assert isinstance(made, Store)
    assert isinstance(made, Purges)


def test_a_prefix_keeps_applications_apart(tmp_path: Path) -> None:
    """Two applications with different key prefixes share a file and not a record."""
    blue, green = (SQLiteStore(tmp_path / "sessions.db", key_prefix=name) for name in ("blue:", "green:"))
    record = Record(1, 100.0, 1.0, b"", b"data")
    assert blue.create(b"key", record, 1.0)
    assert green.read(b"key", 1.0) is None
    assert green.create(b"key", record, 1.0)
    assert blue.delete(b"key", 1.0) is True
    assert green.read(b"key", 1.0) == record
