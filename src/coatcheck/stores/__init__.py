"""Stores: where records live. The contract is in :mod:`coatcheck.stores.contract`; each other file here is a store."""

from __future__ import annotations

import re

from coatcheck.errors import ConfigurationError
from coatcheck.stores.contract import TOMBSTONE_SECONDS, Conflict, Ended, Outcome, Purges, Record, Store
from coatcheck.stores.memory import MemoryStore
from coatcheck.stores.sqlite import SQLiteStore

__all__ = [
    "TOMBSTONE_SECONDS",
    "Conflict",
    "Ended",
    "MemoryStore",
    "Outcome",
    "Purges",
    "Record",
    "SQLiteStore",
    "Store",
    "open_store",
]

_LATER = {
    *("redis", "rediss", "valkey", "memcached", "mongodb", "dynamodb", "cookie"),
    *("postgresql", "mysql", "mariadb"),
}
_CHOICES = (
    "write 'sqlite:///sessions.db' (a file, relative to the working directory), "
    "'sqlite:////var/lib/app/sessions.db' (absolute) or 'memory:'"
)


def open_store(url: str, key_prefix: str = "") -> Store:
    """Make the store that a URL names. It is not contacted.

    :param url: ``memory:``, ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` (as SQLAlchemy reads them).
    :param key_prefix: put before each key, so that several applications can share a store.
    :raises ConfigurationError: if the URL names no store of this version. The message repeats the scheme only, since
        the rest of a store URL may hold a password.
    """
    match = re.match(r"([a-z][a-z0-9.+-]*):", url, re.ASCII | re.IGNORECASE)
    if match is None:
        raise ConfigurationError(f"This store URL has no scheme: {_CHOICES}.")
    scheme = match[1].lower()
    rest = url[match.end() :]
    if scheme == "memory":
        return _memory(rest, key_prefix)
    if scheme == "sqlite":
        return _sqlite(rest, key_prefix)
    if scheme.split("+")[0] in _LATER:
        raise ConfigurationError(f"The store '{scheme}:' is not in this version of coatcheck: {_CHOICES}.")
    raise ConfigurationError(f"There is no store '{scheme}:': {_CHOICES}.")


def _memory(rest: str, key_prefix: str) -> MemoryStore:
    if rest:
        raise ConfigurationError("The URL of the memory store has nothing after the colon: write 'memory:'.")
    return MemoryStore(key_prefix)


def _sqlite(rest: str, key_prefix: str) -> SQLiteStore:
    path = rest.removeprefix("///")
    if path == rest or path in ("", ":memory:") or "?" in path:
        raise ConfigurationError(
            f"A URL of the SQLite store is 'sqlite:///', the name of a file, and nothing more: {_CHOICES}."
        )
    return SQLiteStore(path, key_prefix=key_prefix)
