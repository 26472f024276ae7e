"""The store contract: five verbs, each atomic, each with its own precondition.

To add a store, read this page, write the five methods, and let
:func:`coatcheck.testing.check_store` certify the result. There is no ``save``: an upsert as the only write
is the root of the lost updates and resurrections of most session libraries.

What every store owes:

* Time is an argument. ``now`` and all other times are seconds since 1970 in UTC, as a float. A record is *live*
  while ``now < expires_at``; a server's own expiry may only sweep up what has long been dead.
* A verb happens wholly or not at all, also against other threads, processes and machines.
* A store never looks inside ``meta``, ``data`` or ``note``: they are sealed.
* What fails raises :class:`coatcheck.errors.StoreError`; a write whose answer did not arrive raises
  :class:`coatcheck.errors.AnswerLost`. "Not there" is an answer, not a failure.
* Constructing a store contacts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

#: How long a tombstone stands, in seconds: longer than the longest request, so that a late write finds it.
TOMBSTONE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps of a live session.

    :param version: a random number below 2**64, chosen by the writer of these bytes.
    :param expires_at: when the record stops being live, in seconds since 1970.
    :param last_seen: when the session was last used, in seconds since 1970.
    :param meta: sealed under the keyring: who and where. May be empty.
    :param data: sealed under the keyring and the session token.
    """

    version: int
    expires_at: float
    last_seen: float
    meta: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """A tombstone stands here: the session ended. ``note`` is what :meth:`Store.delete` left in it."""

    note: bytes | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The live record has another version than expected: here it is, as it stood after the other's commit."""

    current: Record


#: What a conditional write answers: done, or why not. ``None``: nothing there, or expired.
Outcome = Literal[True] | Conflict | Ended | None


@runtime_checkable
class Store(Protocol):
    """Where records live. ``key`` is at most 64 bytes; equal keys name the same record."""

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        """Return the live record; :class:`Ended` where a tombstone stands; ``None`` if missing or expired."""
        ...

    def create(self, key: bytes, record: Record, now: float) -> bool:
        """Store ``record`` if nothing is there, not even a tombstone, and say whether it was stored."""
        ...

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        """Put ``record`` in the place of the live record that has ``expected_version``.

        Otherwise nothing changes. The record in a :class:`Conflict` is read *after* the winner's commit.
        """
        ...

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        """End the live record, if it has ``expected_version`` or none is given, and leave a tombstone.

        The tombstone stands for :data:`TOMBSTONE_SECONDS` from ``now`` and holds ``note``. Where nothing is,
        none is made.
        """
        ...

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        """Move the two times of a live record and say whether there was one.

        Neither time ever moves backwards; version, meta and data stay. What is dead stays dead.
        """
        ...


@runtime_checkable
class Purges(Protocol):
    """A capability: the store can sweep up what is dead."""

    def purge(self, now: float, limit: int) -> int:
        """Remove at most ``limit`` expired records and tombstones; return how many."""
        ...
