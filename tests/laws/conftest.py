"""What the laws' tests share: both stores, a clock, and a website on them, as the fine print's tests have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck.stores import MemoryStore, Record
from tests.fine_print.conftest import clock, site, store
from tests.fine_print.website import Answer, KeyedStore, Website

__all__ = ["clock", "site", "store"]


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody with a session."""
    return site.visit(lambda session: session.update(cart=["apple"]))


@pytest.fixture
def dump(store: KeyedStore, tmp_path: Path) -> Callable[[], bytes]:
    """Return what a thief of the store has: every byte that it keeps."""

    def take() -> bytes:
        if not isinstance(store.store, MemoryStore):
            return b"".join(file.read_bytes() for file in tmp_path.glob("sessions.db*"))
        rows = store.store._rows.items()
        return b"".join(
            key + (row.data + row.meta if isinstance(row, Record) else row.note or b"") for key, row in rows
        )

    return take
