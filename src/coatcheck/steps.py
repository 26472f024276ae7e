"""How rules without I/O ask for it: they yield a :class:`Call` or a :class:`Pause`, and a driver answers.

Here are the writing verbs as the rules use them, with what to do when the answer to one was lost, and the driver for
synchronous stores. After a lost answer one looks: one's own version (or note) is there, so it was done; what was
expected is still there, so it is sent again, and may meet its own first copy, which was only late; anything else, and
nobody can know (DESIGN §5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from .errors import AnswerLost, StoreError
from .stores.contract import Conflict, Ended, Outcome, Record, Store

T = TypeVar("T")


class Call(NamedTuple):
    """Ask the store for ``verb`` with ``arguments``."""

    verb: str
    arguments: tuple[Any, ...]


class Pause(NamedTuple):
    """Wait for so many seconds; the answer is the time it is then."""

    seconds: float


Steps = Generator[Call | Pause, Any, T]


def read(key: bytes, now: float) -> Steps[Record | Ended | None]:
    answer: Record | Ended | None = yield Call("read", (key, now))
    return answer


def create(key: bytes, record: Record, now: float) -> Steps[bool]:
    call = Call("create", (key, record, now))
    try:
        created: bool = yield call
    except AnswerLost as lost:
        found = yield from read(key, now)
        if found is None:
            if (yield call):
                return True
            found = yield from read(key, now)
        if not _is_version(found, record.version):
            raise _unknown(lost) from lost
        created = True
    return created


def replace(key: bytes, record: Record, expected_version: int, now: float) -> Steps[Outcome]:
    call = Call("replace", (key, record, expected_version, now))
    try:
        outcome: Outcome = yield call
    except AnswerLost as lost:
        found = yield from read(key, now)
        if _is_version(found, expected_version):
            outcome = yield call
            if outcome is True:
                return True
            found = outcome.current if isinstance(outcome, Conflict) else None
        if not _is_version(found, record.version):
            raise _unknown(lost) from lost
        outcome = True
    return outcome


def delete(
    key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
) -> Steps[Outcome]:
    call = Call("delete", (key, now, expected_version, note))
    try:
        outcome: Outcome = yield call
    except AnswerLost as lost:
        found = yield from read(key, now)
        if isinstance(found, Record) and expected_version in (None, found.version):
            outcome = yield call
        elif isinstance(found, Record):
            outcome = Conflict(found)
        elif found == Ended(note):
            outcome = found
        else:
            raise _unknown(lost) from lost
        if outcome == Ended(note):
            outcome = True
    return outcome


def touch(key: bytes, expires_at: float, last_seen: float, now: float) -> Steps[bool]:
    call = Call("touch", (key, expires_at, last_seen, now))
    try:
        alive: bool = yield call
    except AnswerLost:
        alive = yield call  # done twice is done once
    return alive


def perform(steps: Steps[T], store: Store, clock: Callable[[], float]) -> T:
    """Drive ``steps`` to their end on a synchronous store and return their result."""
    answer: Any = None
    failure: StoreError | None = None
    while True:
        try:
            wanted = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        failure = None
        try:
            answer = _answer(wanted, store, clock)
        except StoreError as error:
            failure = error


def _answer(wanted: Call | Pause, store: Store, clock: Callable[[], float]) -> Any:
    if isinstance(wanted, Pause):
        time.sleep(wanted.seconds)
        return clock()
    return getattr(store, wanted.verb)(*wanted.arguments)


def _is_version(found: Record | Ended | None, version: int) -> bool:
    return isinstance(found, Record) and found.version == version


def _unknown(lost: AnswerLost) -> AnswerLost:
    return AnswerLost(f"nobody knows whether the session was saved: the store's answer was lost ({lost})")
