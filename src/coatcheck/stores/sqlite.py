"""SQLiteStore: records in one SQLite file, for any number of threads and processes of one machine.

Committed means: survives the end of the process, however it comes. In a power cut the last commits may be lost,
because ``synchronous=NORMAL`` in WAL mode does not wait for the disk (https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import os

from coatcheck.errors import ConfigurationError
from coatcheck.stores.contract import TOMBSTONE_SECONDS, Conflict, Ended, Outcome, Record
from coatcheck.stores.sqlite_pool import SQLitePool

# A tombstone is a row without data; its note is in meta. purge_at says when purge looks at the row. It is set by
# create, delete and purge only: an index that followed expires_at would double the price of each write (6.5 to 14 µs).
_SCHEMA = """
CREATE TABLE IF NOT EXISTS coatcheck_sessions (
    key BLOB PRIMARY KEY, version INTEGER, expires_at REAL NOT NULL, last_seen REAL, meta BLOB, data BLOB,
    purge_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS coatcheck_sessions_purge_at ON coatcheck_sessions (purge_at);
"""
# How many rows that turn out to live one purge puts off, for each that it may remove: a visitor waits for it.
_LOOKED_AT = 5

_READ = "SELECT version, expires_at, last_seen, meta, data FROM coatcheck_sessions WHERE key = ? AND expires_at > ?"
_CREATE = """
INSERT INTO coatcheck_sessions (version, expires_at, last_seen, meta, data, key, purge_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at,
    last_seen = excluded.last_seen, meta = excluded.meta, data = excluded.data, purge_at = excluded.purge_at
WHERE expires_at <= ?
"""
_LIVE = "WHERE key = ? AND expires_at > ? AND data IS NOT NULL"
_REPLACE = f"""
UPDATE coatcheck_sessions SET version = ?, expires_at = ?, last_seen = ?, meta = ?, data = ? {_LIVE} AND version = ?
"""
_TYPES = [int, float, float, bytes, bytes]
_FAR = 1e11  # seconds: the year 5138

_DELETE = f"""
UPDATE coatcheck_sessions SET version = NULL, last_seen = NULL, data = NULL, meta = ?, expires_at = ?, purge_at = ?
{_LIVE}
"""
_DELETE_VERSION = _DELETE + "AND version = ?"
_TOUCH = f"""
UPDATE coatcheck_sessions SET expires_at = max(expires_at, ?), last_seen = max(last_seen, ?) {_LIVE}
"""
_DUE = "key IN (SELECT key FROM coatcheck_sessions WHERE purge_at <= :now AND expires_at"
_PURGE = f"DELETE FROM coatcheck_sessions WHERE {_DUE} <= :now ORDER BY purge_at LIMIT :limit)"
_LOOK_LATER = f"UPDATE coatcheck_sessions SET purge_at = expires_at WHERE {_DUE} > :now ORDER BY purge_at LIMIT :limit)"


def _signed(version: int) -> int:
    """SQLite's integers are signed: the upper half of the 64-bit versions becomes the negative ones."""
    return version - 2**64 if version >= 2**63 else version


class SQLiteStore:
    """Records in an SQLite file, which is made, readable by its owner only, when the first verb needs it.

    If the file is deleted or exchanged while the application runs, each process notices within a second and goes on
    with the new file, which it makes if there is none: every session in the old one has ended, and what was written to
    it in that second is lost.

    :param path: the file. Relative to the working directory at the time of this call. Its folder is made if missing.
    :param key_prefix: put before each key, so that several applications can share the file.
    :raises ConfigurationError: if ``path`` names no file (``""`` and ``":memory:"``).
    """

    def __init__(self, path: str | os.PathLike[str], *, key_prefix: str = "") -> None:
        if os.fspath(path) in ("", ":memory:"):
            raise ConfigurationError(
                f"SQLiteStore needs the name of a file, not {os.fspath(path)!r}. For records in memory: MemoryStore()."
            )
        self._pool = SQLitePool(os.path.abspath(path), _SCHEMA)
        self._prefix = key_prefix.encode()

    def __repr__(self) -> str:
        return f"SQLiteStore({self._pool.path!r})"

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        """See :meth:`coatcheck.stores.contract.Store.read`."""
        row = self._pool.run(_READ, (self._prefix + key, now))
        if row is None:
            return None
        version, expires_at, last_seen, meta, data = row
        if data is None:
            return Ended(meta if type(meta) is bytes else None)
        if [type(value) for value in row] != _TYPES or not 0 <= last_seen < _FAR or not expires_at < _FAR:
            return None  # somebody else wrote this: it ends the session, and must do no more (law 8)
        return Record(version & 0xFFFF_FFFF_FFFF_FFFF, expires_at, last_seen, meta, data)

    def create(self, key: bytes, record: Record, now: float) -> bool:
        """See :meth:`coatcheck.stores.contract.Store.create`."""
        values = (_signed(record.version), record.expires_at, record.last_seen, record.meta, record.data)
        return self._pool.write(_CREATE, (*values, self._prefix + key, record.expires_at, now)) == 1

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        """See :meth:`coatcheck.stores.contract.Store.replace`."""
        values = (_signed(record.version), record.expires_at, record.last_seen, record.meta, record.data)
        if self._pool.write(_REPLACE, (*values, self._prefix + key, now, _signed(expected_version))):
            return True
        return self._why_not(key, now)

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        """See :meth:`coatcheck.stores.contract.Store.delete`."""
        falls = now + TOMBSTONE_SECONDS
        values = (note, falls, falls, self._prefix + key, now)
        if expected_version is not None:
            done = self._pool.write(_DELETE_VERSION, (*values, _signed(expected_version)))
            return True if done else self._why_not(key, now)
        if self._pool.write(_DELETE, values):
            return True
        current = self.read(key, now)
        return current if isinstance(current, Ended) else None  # a record here was created after the DELETE

    def _why_not(self, key: bytes, now: float) -> Conflict | Ended | None:
        # The UPDATE that found nothing to change came after the winner's commit; so does this.
        current = self.read(key, now)
        return Conflict(current) if isinstance(current, Record) else current

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        """See :meth:`coatcheck.stores.contract.Store.touch`."""
        return self._pool.write(_TOUCH, (expires_at, last_seen, self._prefix + key, now)) == 1

    def purge(self, now: float, limit: int) -> int:
        """Remove at most ``limit`` expired records and tombstones, whatever their prefix; return how many.

        A record whose expiry has been shortened goes when the earlier one has passed.
        """
        removed = self._pool.write(_PURGE, {"now": now, "limit": limit})
        self._pool.write(_LOOK_LATER, {"now": now, "limit": _LOOKED_AT * limit})
        return removed

    def close(self) -> None:
        """Close this process's connections. The store stays usable: the next verb opens a new one."""
        self._pool.close()
