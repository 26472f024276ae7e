"""What each check of a store works with: fresh keys, a time, comparison to the byte, and threads that overlap."""

from __future__ import annotations

import dataclasses
import itertools
import reprlib
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from types import FrameType
from typing import Any, TypeVar

from coatcheck.stores.contract import Conflict, Ended, Record, Store

T = TypeVar("T")

#: How many threads overlap.
THREADS = 8
#: How often an overlap is tried; one that a store gets wrong shows within a few tries.
ROUNDS = 30

ALL_BYTES = bytes(range(256))


class BrokenObligation(AssertionError):
    """A store did not do what the contract says; the message has what was expected and what came."""


def expect(what: str, came: object, wanted: object) -> None:
    """Compare types and values, down to the fields of records.

    :param what: what was asked of the store, for the message.
    :raises BrokenObligation: if they differ.
    """
    if not _same(came, wanted):
        raise BrokenObligation(f"{what}: expected {_show(wanted)}, got {_show(came)}")


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False  # True is not 1, a bytearray is not bytes
    if isinstance(one, Record | Ended | Conflict):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return bool(one == other)


def _show(value: object) -> str:
    if isinstance(value, Record | Ended | Conflict):
        fields = (f"{f.name}={_show(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    return reprlib.repr(value)


_LINES = itertools.count()
_HARNESS = (__name__, "coatcheck.testing.store_races")


def _let_others_in(frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
    """A trace function: before every 41st line of a store written in Python, let other threads go first.

    Its gaps are otherwise too short to be met: without this a check-then-act on a dict passes.
    """
    if frame.f_globals.get("__name__") in _HARNESS:
        return None
    if next(_LINES) % 41 == 0:
        time.sleep(0)
    return _let_others_in


class Bench:
    """A store under test.

    :param store: the store.
    :param now: the time of the check, in seconds since 1970; checks look before and after it.
    :param threads: where :meth:`overlap` runs its calls: :data:`THREADS` at least.
    """

    def __init__(self, store: Store, now: float, threads: Executor) -> None:
        self.store = store
        self.now = now
        self._threads = threads

    def key(self) -> bytes:
        """Return a key that nobody used before: other checks may see the same records."""
        return secrets.token_bytes(32)

    def record(
        self,
        *,
        version: int | None = None,
        expires_at: float | None = None,
        last_seen: float | None = None,
        meta: bytes = b"meta",
        data: bytes | None = None,
    ) -> Record:
        """Return a record with what is given; the version and the data are random, it lives for 1,000 s."""
        return Record(
            version=secrets.randbits(64) if version is None else version,
            expires_at=self.now + 1000.0 if expires_at is None else expires_at,
            last_seen=self.now if last_seen is None else last_seen,
            meta=meta,
            data=secrets.token_bytes(40) if data is None else data,
        )

    def put(self, record: Record, *, at: float | None = None, key: bytes | None = None) -> bytes:
        """Create a record and return its key."""
        key = self.key() if key is None else key
        expect("create where nothing is", self.store.create(key, record, self.now if at is None else at), True)
        return key

    def tombstone(self, note: bytes | None = b"note", *, at: float | None = None) -> bytes:
        """Create a record, delete it, and return its key."""
        at = self.now if at is None else at
        key = self.put(self.record(expires_at=at + 1000.0), at=at)
        expect("delete of a live record", self.store.delete(key, at, None, note), True)
        return key

    def expect_read(self, key: bytes, wanted: Record | Ended | None, after: str, *, at: float | None = None) -> None:
        """Read, and compare with what should be there ``after`` what was done."""
        expect(f"read after {after}", self.store.read(key, self.now if at is None else at), wanted)

    def overlap(self, calls: Iterable[Callable[[], T]]) -> list[T]:
        """Make the calls at the same time, each in a thread of its own; return what they return, in order."""
        calls = list(calls)
        line = threading.Barrier(len(calls))

        def start(call: Callable[[], T]) -> T:
            line.wait()
            usual = sys.gettrace()
            sys.settrace(_let_others_in)
            try:
                return call()
            finally:
                sys.settrace(usual)

        return [future.result() for future in [self._threads.submit(start, call) for call in calls]]


def succeeded(outcomes: Iterable[object]) -> int:
    """Count the writes that were done."""
    return sum(outcome is True for outcome in outcomes)
