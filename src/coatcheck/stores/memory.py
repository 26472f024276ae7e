"""MemoryStore: records in a dict of this process, for tests and for trying things out."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import islice

from coatcheck.stores.contract import TOMBSTONE_SECONDS, Conflict, Ended, Outcome, Record


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What stands where a session ended, until ``expires_at``."""

    expires_at: float
    note: bytes | None


class MemoryStore:
    """A store in this process's memory: gone with the process, and not shared with any other.

    :param key_prefix: put before each key; accepted so that every store is made in the same way.
    """

    def __init__(self, key_prefix: str = "") -> None:
        self._prefix = key_prefix.encode()
        self._lock = threading.Lock()
        self._rows: dict[bytes, Record | Tombstone] = {}

    def _live(self, key: bytes, now: float) -> Record | Ended | None:
        row = self._rows.get(self._prefix + key)
        if row is None or row.expires_at <= now:
            return None
        return row if isinstance(row, Record) else Ended(row.note)

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        """See :meth:`coatcheck.stores.contract.Store.read`."""
        with self._lock:
            return self._live(key, now)

    def create(self, key: bytes, record: Record, now: float) -> bool:
        """See :meth:`coatcheck.stores.contract.Store.create`."""
        with self._lock:
            if self._live(key, now) is not None:
                return False
            self._rows[self._prefix + key] = record
            return True

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        """See :meth:`coatcheck.stores.contract.Store.replace`."""
        with self._lock:
            current = self._live(key, now)
            if not isinstance(current, Record):
                return current
            if current.version != expected_version:
                return Conflict(current)
            self._rows[self._prefix + key] = record
            return True

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        """See :meth:`coatcheck.stores.contract.Store.delete`."""
        with self._lock:
            current = self._live(key, now)
            if not isinstance(current, Record):
                return current
            if expected_version is not None and current.version != expected_version:
                return Conflict(current)
            self._rows[self._prefix + key] = Tombstone(now + TOMBSTONE_SECONDS, note)
            return True

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        """See :meth:`coatcheck.stores.contract.Store.touch`."""
        with self._lock:
            current = self._live(key, now)
            if not isinstance(current, Record):
                return False
            self._rows[self._prefix + key] = Record(
                current.version,
                max(current.expires_at, expires_at),
                max(current.last_seen, last_seen),
                current.meta,
                current.data,
            )
            return True

    def purge(self, now: float, limit: int) -> int:
        """Remove at most ``limit`` expired records and tombstones; return how many."""
        with self._lock:
            dead = list(islice((key for key, row in self._rows.items() if row.expires_at <= now), limit))
            for key in dead:
                del self._rows[key]
            return len(dead)
