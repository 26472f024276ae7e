"""The zoo: stores with one planted fault each, so that ``check_store`` can be seen to find every one of them.

Each is a :class:`~coatcheck.stores.memory.MemoryStore` that does one thing wrong. None is of any use in an application.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from coatcheck.stores.contract import Conflict, Ended, Outcome, Record, Store
from coatcheck.stores.memory import MemoryStore, Tombstone

#: Every faulty store, by the name of its fault.
FAULTY_STORES: dict[str, Callable[[], Store]] = {}

#: The obligation that each of them breaks, by the same name: words of a sentence that ``check_store`` must report.
BROKEN_OBLIGATION: dict[str, str] = {}

_Class = TypeVar("_Class", bound=type[MemoryStore])


def _breaks(obligation: str) -> Callable[[_Class], _Class]:
    def plant(store: _Class) -> _Class:
        FAULTY_STORES[store.__name__] = store
        BROKEN_OBLIGATION[store.__name__] = obligation
        return store

    return plant


def _gap() -> None:
    """Let other threads in, between a check and the act."""
    time.sleep(0)


# --- replace ---------------------------------------------------------------------------------------------------------


@_breaks("replace answers None where nothing is, and creates nothing")
class ReplaceUpserts(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        return super().replace(key, record, expected_version, now) or self.create(key, record, now) or None


@_breaks("replace answers Ended, with the note, where a tombstone stands")
class ReplaceRevives(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        outcome = super().replace(key, record, expected_version, now)
        if isinstance(outcome, Ended):
            self._rows[key] = record
        return outcome


@_breaks("replace answers Ended, with the note, where a tombstone stands")
class ReplaceSaysMissingForEnded(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        outcome = super().replace(key, record, expected_version, now)
        return None if isinstance(outcome, Ended) else outcome


@_breaks("replace with another version than the record's changes nothing")
class ReplaceIgnoresVersion(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        return super().replace(key, record, current.version if isinstance(current, Record) else 0, now)


@_breaks("of overlapping replaces that expect the same version exactly one succeeds")
class ReplaceChecksThenActs(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if not isinstance(current, Record):
            return current
        if current.version != expected_version:
            return Conflict(current)
        _gap()
        self._rows[key] = record
        return True


@_breaks("a record that a delete ended stays dead, whatever replaces overlap with it")
class ReplaceChecksForTheEndFirst(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if not isinstance(current, Record):
            return current
        _gap()
        with self._lock:
            row = self._rows[key]
            if isinstance(row, Record) and row.version != expected_version:
                return Conflict(row)
            self._rows[key] = record
            return True


@_breaks("replace takes a record until its expires_at, and no longer")
class ReplaceForgetsExpiry(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        return super().replace(key, record, expected_version, 0.0)


@_breaks("replace puts the whole new record in place")
class ReplaceKeepsTheOldExpiry(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record):
            record = dataclasses.replace(record, expires_at=current.expires_at)
        return super().replace(key, record, expected_version, now)


@_breaks("replace puts the whole new record in place")
class ReplaceNeverShortens(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record):
            record = dataclasses.replace(record, expires_at=max(record.expires_at, current.expires_at))
        return super().replace(key, record, expected_version, now)


@_breaks("replace puts the whole new record in place")
class ReplaceKeepsTheOldMeta(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record):
            record = dataclasses.replace(record, meta=current.meta)
        return super().replace(key, record, expected_version, now)


@_breaks("replace puts the whole new record in place")
class ReplaceKeepsTheOldVersion(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        return super().replace(key, dataclasses.replace(record, version=expected_version), expected_version, now)


@_breaks("a read that overlaps with writes sees a record as one of them wrote it")
class ReplaceInTwoSteps(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record) and current.version == expected_version:
            self._rows[key] = dataclasses.replace(record, version=expected_version, data=current.data)
            _gap()
        return super().replace(key, record, expected_version, now)


# --- what a conflict holds -------------------------------------------------------------------------------------------


@_breaks("replace with another version than the record's changes nothing and answers the record")
class ConflictHoldsOnesOwnRecord(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        outcome = super().replace(key, record, expected_version, now)
        return Conflict(record) if isinstance(outcome, Conflict) else outcome


@_breaks("a conflict holds the winner's record, as it is after the winner's commit")
class ConflictReadBeforeTheCommit(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        before = self.read(key, now)
        _gap()
        outcome = super().replace(key, record, expected_version, now)
        return Conflict(before) if isinstance(outcome, Conflict) and isinstance(before, Record) else outcome


@_breaks("replace with another version than the record's changes nothing and answers the record")
class ConflictWithoutMeta(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        outcome = super().replace(key, record, expected_version, now)
        return Conflict(dataclasses.replace(outcome.current, meta=b"")) if isinstance(outcome, Conflict) else outcome


@_breaks("replace with another version than the record's changes nothing and answers the record")
class ConflictReportedAsMissing(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        outcome = super().replace(key, record, expected_version, now)
        return None if isinstance(outcome, Conflict) else outcome


@_breaks("of overlapping replaces and deletes that expect the same version exactly one succeeds")
class DeleteConflictReadBeforeTheCommit(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        before = self.read(key, now)
        _gap()
        outcome = super().delete(key, now, expected_version, note)
        return Conflict(before) if isinstance(outcome, Conflict) and isinstance(before, Record) else outcome


# --- create ----------------------------------------------------------------------------------------------------------


@_breaks("create changes nothing where a live record is, and says so")
class CreateOverwrites(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        if not isinstance(self.read(key, now), Ended):
            self._rows[key] = record
            return True
        return False


@_breaks("create changes nothing where a live record is, and says so")
class CreateSaysYesAlways(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        super().create(key, record, now)
        return True


@_breaks("of overlapping creates of one key exactly one succeeds")
class CreateChecksThenActs(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        if self.read(key, now) is not None:
            return False
        _gap()
        self._rows[key] = record
        return True


@_breaks("a tombstone stands for 600 s after the delete, however long its record had to live, and create fails")
class CreateRevives(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        with self._lock:
            if isinstance(self._rows.get(key), Tombstone):
                del self._rows[key]
        return super().create(key, record, now)


@_breaks("create succeeds where a record has expired")
class CreateFailsOverExpired(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        return not isinstance(self._rows.get(key), Record) and super().create(key, record, now)


@_breaks("create succeeds where a record has expired")
class CreateForgetsExpiry(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        return super().create(key, record, 0.0)


@_breaks("a tombstone falls 600 s after the delete")
class CreateFailsOverFallenTombstones(MemoryStore):
    def create(self, key: bytes, record: Record, now: float) -> bool:
        return not isinstance(self._rows.get(key), Tombstone) and super().create(key, record, now)


# --- delete and tombstones -------------------------------------------------------------------------------------------


@_breaks("delete with another version than the record's changes nothing")
class DeleteIgnoresVersion(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        return super().delete(key, now, None, note)


@_breaks("of overlapping replaces and deletes that expect the same version exactly one succeeds")
class DeleteChecksThenActs(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record) and expected_version is not None and current.version != expected_version:
            return Conflict(current)
        _gap()
        return super().delete(key, now, None, note)


@_breaks("of overlapping deletes exactly one succeeds, and its note stays")
class DeleteSucceedsTwiceInARace(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        was_live = isinstance(self.read(key, now), Record)
        _gap()
        outcome = super().delete(key, now, expected_version, note)
        return True if was_live and isinstance(outcome, Ended) else outcome


@_breaks("from the record to its tombstone there is no gap")
class DeleteInTwoSteps(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        outcome = super().delete(key, now, expected_version, note)
        if outcome is True:
            tombstone = self._rows.pop(key)
            _gap()
            self._rows[key] = tombstone
        return outcome


@_breaks("delete ends the record, and a tombstone with the note's every byte stands in its place")
class DeleteLeavesNoTombstone(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        outcome = super().delete(key, now, expected_version, note)
        with self._lock:
            self._rows.pop(key, None)
        return outcome


@_breaks("delete ends the record, and a tombstone with the note's every byte stands in its place")
class DeleteByVersionDoesNothing(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record) and current.version == expected_version:
            return True
        return super().delete(key, now, expected_version, note)


@_breaks("delete answers None where nothing is, and makes no tombstone")
class DeleteMakesTombstonesFromNothing(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        outcome = super().delete(key, now, expected_version, note)
        if outcome is None and key not in self._rows:
            self._rows[key] = Tombstone(now + 600.0, note)
        return outcome


@_breaks("delete answers None where nothing is")
class DeleteSaysYesToNothing(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        return super().delete(key, now, expected_version, note) or True


@_breaks("delete takes a record until its expires_at, and no longer")
class DeleteForgetsExpiry(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        with self._lock:
            row = self._rows.get(key)
            if isinstance(row, Record):
                self._rows[key] = dataclasses.replace(row, expires_at=max(row.expires_at, now + 1.0))
        return super().delete(key, now, expected_version, note)


@_breaks("delete answers Ended, with the note, where a tombstone stands, and leaves it as it is")
class DeleteRenewsTombstones(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        outcome = super().delete(key, now, expected_version, note)
        if isinstance(outcome, Ended):
            self._rows[key] = Tombstone(now + 600.0, outcome.note)
        return outcome


@_breaks("delete answers Ended, with the note, where a tombstone stands")
class DeleteSaysMissingForEnded(MemoryStore):
    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        outcome = super().delete(key, now, expected_version, note)
        return None if isinstance(outcome, Ended) else outcome


class _OwnTombstones(MemoryStore):
    """Puts up tombstones as :meth:`tombstone` says."""

    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        raise NotImplementedError

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        with self._lock:
            current = self._live(key, now)
            if not isinstance(current, Record):
                return current
            if expected_version is not None and current.version != expected_version:
                return Conflict(current)
            self._rows[key] = self.tombstone(current, now, note)
            return True


@_breaks("a tombstone stands for 600 s after the delete")
class TombstoneTooShort(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(now + 60.0, note)


@_breaks("a tombstone falls 600 s after the delete")
class TombstoneForEver(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(now + 1e9, note)


@_breaks("a tombstone stands for 600 s after the delete")
class TombstoneEndsWithItsRecord(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(min(now + 600.0, record.expires_at), note)


@_breaks("a tombstone falls 600 s after the delete")
class TombstoneAsLongAsItsRecord(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(max(now + 600.0, record.expires_at), note)


@_breaks("a tombstone with the note's every byte stands in its place")
class NoteLost(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(now + 600.0, None)


@_breaks("a tombstone with the note's every byte stands in its place")
class NoteEndsAtNul(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(now + 600.0, note and note.split(b"\0")[0])


@_breaks("a tombstone with the note's every byte stands in its place")
class NoNoteIsAnEmptyNote(_OwnTombstones):
    def tombstone(self, record: Record, now: float, note: bytes | None) -> Tombstone:
        return Tombstone(now + 600.0, note or b"")


# --- touch -----------------------------------------------------------------------------------------------------------


def _moved(record: Record, expires_at: float, last_seen: float) -> Record:
    """What a right touch makes of a record."""
    return dataclasses.replace(
        record, expires_at=max(record.expires_at, expires_at), last_seen=max(record.last_seen, last_seen)
    )


@_breaks("touch takes a record until its expires_at, and never revives an expired one")
class TouchRevivesTheExpired(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        return super().touch(key, expires_at, last_seen, 0.0)


@_breaks("touch answers False where a tombstone stands, and leaves it as it is")
class TouchKeepsTombstonesStanding(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        with self._lock:
            row = self._rows.get(key)
            if isinstance(row, Tombstone):
                self._rows[key] = Tombstone(max(row.expires_at, expires_at), row.note)
        return super().touch(key, expires_at, last_seen, now)


@_breaks("touch answers False where a tombstone stands, and leaves it as it is")
class TouchRevivesTheEnded(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._ended: dict[bytes, Record] = {}

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record):
            self._ended[key] = current
        return super().delete(key, now, expected_version, note)

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        if isinstance(self.read(key, now), Ended):
            self._rows[key] = self._ended[key]
        return super().touch(key, expires_at, last_seen, now)


@_breaks("a record that a delete ended stays dead, whatever touches overlap with it")
class TouchChecksThenActs(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        current = self.read(key, now)
        if not isinstance(current, Record):
            return False
        _gap()
        self._rows[key] = _moved(current, expires_at, last_seen)
        return True


@_breaks("a touch that overlaps with a replace takes nothing of it back")
class TouchWritesBackWhatItRead(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        current = self.read(key, now)
        _gap()
        with self._lock:
            if not isinstance(current, Record) or not isinstance(self._live(key, now), Record):
                return False
            self._rows[key] = _moved(current, expires_at, last_seen)
            return True


@_breaks("touch answers False where nothing is, and creates nothing")
class TouchCreates(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        if key not in self._rows:
            self._rows[key] = Record(0, expires_at, last_seen, b"", b"")
        return super().touch(key, expires_at, last_seen, now)


@_breaks("touch answers False where nothing is")
class TouchSaysYesAlways(MemoryStore):
    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        return super().touch(key, expires_at, last_seen, now) or True


class _OwnTouch(MemoryStore):
    """Touches as :meth:`touched` says."""

    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        raise NotImplementedError

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        with self._lock:
            current = self._live(key, now)
            if not isinstance(current, Record):
                return False
            self._rows[key] = self.touched(current, expires_at, last_seen)
            return True


@_breaks("touch moves neither time back")
class TouchShortens(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        return dataclasses.replace(record, expires_at=expires_at, last_seen=max(record.last_seen, last_seen))


@_breaks("touch moves neither time back")
class TouchMovesLastSeenBack(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        return dataclasses.replace(record, expires_at=max(record.expires_at, expires_at), last_seen=last_seen)


@_breaks("touch moves neither time back")
class TouchIsAllOrNothing(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        if expires_at < record.expires_at:
            return record
        return dataclasses.replace(record, expires_at=expires_at, last_seen=max(record.last_seen, last_seen))


@_breaks("touch moves both times on, and nothing else")
class TouchForgetsLastSeen(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        return dataclasses.replace(record, expires_at=max(record.expires_at, expires_at))


@_breaks("touch moves both times on, and nothing else")
class TouchChangesTheVersion(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        return dataclasses.replace(_moved(record, expires_at, last_seen), version=record.version ^ 1)


@_breaks("touch moves both times on, and nothing else")
class TouchEmptiesTheData(_OwnTouch):
    def touched(self, record: Record, expires_at: float, last_seen: float) -> Record:
        return dataclasses.replace(_moved(record, expires_at, last_seen), data=b"")


# --- read and time ---------------------------------------------------------------------------------------------------


@_breaks("read sees a record until its expires_at, and no longer")
class ReadForgetsExpiry(MemoryStore):
    def read(self, key: bytes, now: float) -> Record | Ended | None:
        row = self._rows.get(key)
        return row if isinstance(row, Record) else super().read(key, now)


@_breaks("delete ends the record, and a tombstone with the note's every byte stands in its place")
class ReadSaysMissingForEnded(MemoryStore):
    def read(self, key: bytes, now: float) -> Record | Ended | None:
        record = super().read(key, now)
        return record if isinstance(record, Record) else None


@_breaks("replace puts the whole new record in place")
class ReadAnswersFromACache(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[bytes, Record] = {}

    def create(self, key: bytes, record: Record, now: float) -> bool:
        created = super().create(key, record, now)
        if created:
            self._cache[key] = record
        return created

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        cached = self._cache.get(key)
        return cached if cached and now < cached.expires_at else super().read(key, now)


@_breaks("read answers None where nothing is")
class ReadRaisesWhereNothingIs(MemoryStore):
    def read(self, key: bytes, now: float) -> Record | Ended | None:
        if key not in self._rows:
            raise KeyError(key)
        return super().read(key, now)


@_breaks("read sees a record until its expires_at, and no longer")
class LivesAnInstantTooLong(MemoryStore):
    def _live(self, key: bytes, now: float) -> Record | Ended | None:
        row = self._rows.get(key)
        return row if isinstance(row, Record) and row.expires_at == now else super()._live(key, now)


@_breaks("read sees a record until its expires_at, and no longer")
class ExpiresOnWholeSeconds(MemoryStore):
    def _live(self, key: bytes, now: float) -> Record | Ended | None:
        return super()._live(key, float(int(now)))


@_breaks("read sees a record until its expires_at, and no longer")
class LooksAtTheWallClock(MemoryStore):
    def _live(self, key: bytes, now: float) -> Record | Ended | None:
        return super()._live(key, time.time())


# --- what is kept ----------------------------------------------------------------------------------------------------


class _Alters(MemoryStore):
    """Keeps records as :meth:`altered` makes them."""

    def altered(self, record: Record) -> Record:
        raise NotImplementedError

    def create(self, key: bytes, record: Record, now: float) -> bool:
        return super().create(key, self.altered(record), now)

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        return super().replace(key, self.altered(record), expected_version, now)


@_breaks("a version keeps all its 64 bits")
class VersionOf63Bits(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, version=record.version & (2**63 - 1))


@_breaks("a version keeps all its 64 bits")
class VersionOf32Bits(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, version=record.version & (2**32 - 1))


@_breaks("a version keeps all its 64 bits")
class VersionIsSigned(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, version=(record.version ^ 2**63) - 2**63)


@_breaks("versions that differ in one bit are different versions")
class VersionsComparedAsFloats(MemoryStore):
    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        if isinstance(current, Record) and float(current.version) == float(expected_version):
            expected_version = current.version
        return super().replace(key, record, expected_version, now)


@_breaks("create stores a record as it is")
class DataEndsAtNul(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, data=record.data.split(b"\0")[0])


@_breaks("create stores a record as it is")
class DataAsText(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, data=record.data.decode(errors="replace").encode())


@_breaks("create stores a record as it is")
class DataCutAt64K(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, data=record.data[:65535])


@_breaks("create stores a record as it is")
class DataAsBytearray(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, data=bytearray(record.data))  # type: ignore[arg-type]


@_breaks("create stores a record as it is")
class MetaAndDataSwapped(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, meta=record.data, data=record.meta)


@_breaks("create stores a record as it is")
class MetaStripped(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, meta=record.meta.strip(b"\0"))


@_breaks("create stores a record as it is")
class TimesInMilliseconds(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(
            record, expires_at=round(record.expires_at, 3), last_seen=round(record.last_seen, 3)
        )


@_breaks("create stores a record as it is")
class LastSeenLost(_Alters):
    def altered(self, record: Record) -> Record:
        return dataclasses.replace(record, last_seen=0.0)


class _ReadsOtherKeys(MemoryStore):
    """Takes one key for another, as :meth:`taken_for` says."""

    def taken_for(self, key: bytes) -> bytes:
        raise NotImplementedError

    def create(self, key: bytes, record: Record, now: float) -> bool:
        return super().create(self.taken_for(key), record, now)

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        return super().read(self.taken_for(key), now)


@_breaks("every byte of a key counts")
class KeyCutAt32Bytes(_ReadsOtherKeys):
    def taken_for(self, key: bytes) -> bytes:
        return key[:32]


@_breaks("every byte of a key counts")
class KeyWithoutCase(_ReadsOtherKeys):
    def taken_for(self, key: bytes) -> bytes:
        return key.lower()


@_breaks("every byte of a key counts")
class KeyEndsAtNul(_ReadsOtherKeys):
    def taken_for(self, key: bytes) -> bytes:
        return key.rstrip(b"\0")


@_breaks("every byte of a key counts")
class KeyPaddedWithSpaces(_ReadsOtherKeys):
    def taken_for(self, key: bytes) -> bytes:
        return key.rstrip(b" ")


# --- purge -----------------------------------------------------------------------------------------------------------


class _OwnPurge(MemoryStore):
    """Purges the rows that :meth:`is_due` picks."""

    def is_due(self, row: Record | Tombstone, now: float) -> bool:
        raise NotImplementedError

    def purge(self, now: float, limit: int) -> int:
        with self._lock:
            due = [key for key, row in self._rows.items() if self.is_due(row, now)][:limit]
            for key in due:
                del self._rows[key]
            return len(due)


@_breaks("purge leaves live records alone")
class PurgeTakesTheLiving(_OwnPurge):
    def is_due(self, row: Record | Tombstone, now: float) -> bool:
        return row.expires_at <= now + 60.0


@_breaks("purge leaves tombstones alone for as long as they stand")
class PurgeTakesTombstones(_OwnPurge):
    def is_due(self, row: Record | Tombstone, now: float) -> bool:
        return isinstance(row, Tombstone) or row.expires_at <= now


@_breaks("purge, told often enough, removes what has expired and the tombstones that have fallen")
class PurgeLeavesFallenTombstones(_OwnPurge):
    def is_due(self, row: Record | Tombstone, now: float) -> bool:
        return isinstance(row, Record) and row.expires_at <= now


@_breaks("purge leaves live records alone")
class PurgeGoesByTheFirstExpiry(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._first_expiry: dict[bytes, float] = {}

    def create(self, key: bytes, record: Record, now: float) -> bool:
        created = super().create(key, record, now)
        if created:
            self._first_expiry[key] = record.expires_at
        return created

    def purge(self, now: float, limit: int) -> int:
        due = [key for key, expires_at in list(self._first_expiry.items()) if expires_at <= now][:limit]
        for key in due:
            self._first_expiry.pop(key, None)
            if isinstance(self._rows.get(key), Record):
                self._rows.pop(key, None)
        return len(due) + super().purge(now, limit - len(due))


@_breaks("purge removes at most as many as it is told")
class PurgeUnbounded(MemoryStore):
    def purge(self, now: float, limit: int) -> int:
        return min(limit, super().purge(now, 10**9))


@_breaks("purge, told often enough, removes what has expired")
class PurgeDoesNothing(MemoryStore):
    def purge(self, now: float, limit: int) -> int:
        return 0


@_breaks("purge, told often enough, removes what has expired and the tombstones that have fallen, and then says 0")
class PurgeAlwaysSaysOne(MemoryStore):
    def purge(self, now: float, limit: int) -> int:
        return max(1, super().purge(now, limit))


@_breaks("purge removes no record that was created over an expired one meanwhile")
class PurgeChecksThenActs(MemoryStore):
    def purge(self, now: float, limit: int) -> int:
        with self._lock:
            dead = [key for key, row in self._rows.items() if row.expires_at <= now][:limit]
        _gap()
        with self._lock:
            return sum(self._rows.pop(key, None) is not None for key in dead)


# --- threads ---------------------------------------------------------------------------------------------------------


@_breaks("read answers None where nothing is")
class OnlyForTheThreadThatMadeIt(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("made in another thread")
        return super().read(key, now)


@_breaks("loses no update")
class SwallowsAWriteNowAndThen(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._writes = 0

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        current = self.read(key, now)
        self._writes += 1
        if self._writes % 20 == 0 and isinstance(current, Record) and current.version == expected_version:
            return True
        return super().replace(key, record, expected_version, now)
