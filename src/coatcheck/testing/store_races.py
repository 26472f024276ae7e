"""What a store owes to callers that overlap: each verb happens wholly or not at all.

Each function is one obligation; the first line of its docstring is the sentence a broken one is reported with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from coatcheck.stores.contract import TOMBSTONE_SECONDS, Conflict, Ended, Outcome, Purges, Record
from coatcheck.testing.store_bench import ROUNDS, THREADS, Bench, BrokenObligation, expect, succeeded

Calls = list[Callable[[], object]]

#: After so many conflicts in a row it is the store that is at fault.
TRIES = 2000


def _overlapping_replaces(bench: Bench) -> tuple[list[Record], list[Outcome]]:
    """Let several replace the same version of one record; return what they wrote and what they were told."""
    base = bench.record()
    key = bench.put(base)
    records = [bench.record(last_seen=bench.now + n) for n in range(THREADS)]
    outcomes = bench.overlap(partial(bench.store.replace, key, record, base.version, bench.now) for record in records)
    return records, outcomes


def one_replace_wins(bench: Bench) -> None:
    """of overlapping replaces that expect the same version exactly one succeeds."""
    for _ in range(ROUNDS):
        _, outcomes = _overlapping_replaces(bench)
        expect(f"successes of {THREADS} overlapping replaces", succeeded(outcomes), 1)


def losers_see_the_winner(bench: Bench) -> None:
    """a conflict holds the winner's record, as it is after the winner's commit."""
    for _ in range(ROUNDS):
        records, outcomes = _overlapping_replaces(bench)
        winner = next((record for record, outcome in zip(records, outcomes, strict=True) if outcome is True), None)
        for outcome in outcomes:
            if winner is not None and outcome is not True:
                expect("an overlapping replace that lost", outcome, Conflict(winner))


def one_create_wins(bench: Bench) -> None:
    """of overlapping creates of one key exactly one succeeds, and its record stays."""
    for _ in range(ROUNDS):
        expired = bench.put(bench.record(expires_at=bench.now + 1.0))
        fallen = bench.tombstone(at=bench.now + 1.0 - TOMBSTONE_SECONDS)
        for key in (bench.key(), expired, fallen):
            records = [bench.record() for _ in range(THREADS)]
            created = bench.overlap(partial(bench.store.create, key, record, bench.now + 1.0) for record in records)
            expect(f"successes of {THREADS} overlapping creates", succeeded(created), 1)
            bench.expect_read(key, records[created.index(True)], "overlapping creates", at=bench.now + 1.0)


def one_delete_wins(bench: Bench) -> None:
    """of overlapping deletes exactly one succeeds, and its note stays."""
    for expected in (None, 7):
        for _ in range(ROUNDS):
            key = bench.put(bench.record(version=7))
            notes = [bytes([n]) * 3 for n in range(THREADS)]
            outcomes = bench.overlap(partial(bench.store.delete, key, bench.now, expected, note) for note in notes)
            expect(f"successes of {THREADS} overlapping deletes", succeeded(outcomes), 1)
            winner = Ended(notes[outcomes.index(True)])
            for outcome in outcomes:
                if outcome is not True:
                    expect("an overlapping delete that lost", outcome, winner)
            bench.expect_read(key, winner, "overlapping deletes")


def _delete_against(bench: Bench, others: Callable[[bytes, Record], Calls]) -> list[object]:
    """Delete a record while others do something else with it; demand that it is dead; return what they were told."""
    base = bench.record()
    key = bench.put(base)
    delete = partial(bench.store.delete, key, bench.now, None, b"note")
    calls = others(key, base)
    half = len(calls) // 2
    calls.insert(half, delete)
    outcomes = bench.overlap(calls)
    expect("a delete, without version, that overlaps with others", outcomes.pop(half), True)
    bench.expect_read(key, Ended(b"note"), "a delete that overlapped with others")
    return outcomes


def delete_beats_replace(bench: Bench) -> None:
    """a record that a delete ended stays dead, whatever replaces overlap with it."""

    def writers(key: bytes, base: Record) -> Calls:
        return [partial(_write_until_done, bench, key, base.version)] * (THREADS - 1)

    for _ in range(ROUNDS):
        for outcome in _delete_against(bench, writers):
            if outcome is not True:
                expect("a replace that overlaps with a delete", outcome, Ended(b"note"))


def _write_until_done(bench: Bench, key: bytes, version: int) -> Outcome:
    for _ in range(TRIES):
        outcome = bench.store.replace(key, bench.record(), version, bench.now)
        if not isinstance(outcome, Conflict):
            return outcome
        version = outcome.current.version
    raise BrokenObligation(f"replace with the version of the last conflict: got {TRIES} conflicts in a row")


def delete_or_replace_wins(bench: Bench) -> None:
    """of overlapping replaces and deletes that expect the same version exactly one succeeds."""
    for _ in range(ROUNDS):
        base = bench.record()
        key = bench.put(base)
        new = bench.record()
        calls: list[Callable[[], Outcome]] = [
            partial(bench.store.replace, key, new, base.version, bench.now),
            partial(bench.store.delete, key, bench.now, base.version, b"note"),
        ]
        replaced, deleted = bench.overlap(calls)
        if replaced is True:
            expect("a delete that lost against a replace", deleted, Conflict(new))
            bench.expect_read(key, new, "a replace that won against a delete")
        else:
            expect("a replace that lost against a delete", replaced, Ended(b"note"))
            expect("the delete that won", deleted, True)
            bench.expect_read(key, Ended(b"note"), "a delete that won against a replace")


def delete_beats_touch(bench: Bench) -> None:
    """a record that a delete ended stays dead, whatever touches overlap with it."""

    def touchers(key: bytes, base: Record) -> Calls:
        return [partial(bench.store.touch, key, base.expires_at + n, bench.now, bench.now) for n in range(1, THREADS)]

    for _ in range(ROUNDS):
        _delete_against(bench, touchers)


def delete_beats_create(bench: Bench) -> None:
    """no create succeeds beside a delete: from the record to its tombstone there is no gap."""

    def creators(key: bytes, _base: Record) -> Calls:
        return [partial(bench.store.create, key, bench.record(), bench.now)] * (THREADS - 1)

    for _ in range(ROUNDS):
        for created in _delete_against(bench, creators):
            expect("a create that overlaps with a delete", created, False)


def replace_survives_touch(bench: Bench) -> None:
    """a touch that overlaps with a replace takes nothing of it back."""
    for _ in range(ROUNDS):
        base = bench.record()
        key = bench.put(base)
        new = bench.record(expires_at=base.expires_at + 10.0, last_seen=bench.now + 10.0)
        touch = partial(bench.store.touch, key, base.expires_at + 5.0, bench.now + 5.0, bench.now)
        replace = partial(bench.store.replace, key, new, base.version, bench.now)
        calls: Calls = [touch, touch, replace, touch, touch]
        expect("a replace that overlaps with touches", bench.overlap(calls)[2], True)
        bench.expect_read(key, new, "a replace that overlapped with touches")


def reads_see_whole_records(bench: Bench) -> None:
    """a read that overlaps with writes sees a record as one of them wrote it."""
    for _ in range(ROUNDS):
        records = [bench.record(meta=bytes([n]) * 2000, data=bytes([n]) * 2000) for n in range(20)]
        key = bench.put(records[0])

        def write(key: bytes = key, records: list[Record] = records) -> list[object]:
            return [bench.store.replace(key, new, old.version, bench.now) for old, new in pairwise(records)]

        def read(key: bytes = key) -> list[object]:
            return [bench.store.read(key, bench.now) for _ in range(20)]

        for seen in bench.overlap([read, write, read])[::2]:
            if any(record not in records for record in seen):
                raise BrokenObligation("read beside writes: expected a record that was written, got something else")


def counting_is_exact(bench: Bench) -> None:
    """who reads, replaces, and on a conflict goes on from the winner's record loses no update."""
    times = 15
    key = bench.put(bench.record(data=b"0"))

    def count() -> None:
        for _ in range(times):
            current: object = bench.store.read(key, bench.now)
            for _ in range(TRIES):
                if not isinstance(current, Record):
                    raise BrokenObligation(f"counting in one record: expected it to be there, got {current!r}")
                new = bench.record(data=b"%d" % (int(current.data) + 1))
                outcome = bench.store.replace(key, new, current.version, bench.now)
                if outcome is True:
                    break
                current = outcome.current if isinstance(outcome, Conflict) else outcome
            else:
                raise BrokenObligation(f"counting in one record: got {TRIES} conflicts in a row")

    bench.overlap([count] * THREADS)
    final = bench.store.read(key, bench.now)
    counted = final.data if isinstance(final, Record) else final
    expect(f"{THREADS} threads that count to {times}", counted, b"%d" % (THREADS * times))


def purge_spares_what_is_created(bench: Bench) -> None:
    """purge removes no record that was created over an expired one meanwhile."""
    if not isinstance(bench.store, Purges):
        return
    later = bench.now + 1.0
    for _ in range(ROUNDS):
        keys = [bench.put(bench.record(expires_at=later)) for _ in range(THREADS - 2)]
        new = bench.record()
        purge = partial(bench.store.purge, later, 1000)
        calls: Calls = [purge, *(partial(bench.store.create, key, new, later) for key in keys), purge]
        bench.overlap(calls)
        for key in keys:
            bench.expect_read(key, new, "a create over an expired record, beside purge", at=later)


RACES = [
    one_replace_wins,
    losers_see_the_winner,
    one_create_wins,
    one_delete_wins,
    delete_beats_replace,
    delete_or_replace_wins,
    delete_beats_touch,
    delete_beats_create,
    replace_survives_touch,
    reads_see_whole_records,
    counting_is_exact,
    purge_spares_what_is_created,
]
