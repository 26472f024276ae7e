"""What a store owes to one caller: each verb's success, each "otherwise", to the byte and to the instant.

Each function is one obligation; the first line of its docstring is the sentence a broken one is reported with.
"""

from __future__ import annotations

import math

from coatcheck.stores.contract import TOMBSTONE_SECONDS, Conflict, Ended, Purges
from coatcheck.testing.store_bench import ALL_BYTES, Bench, BrokenObligation, expect


def just_before(instant: float) -> float:
    """Return the last moment before an instant that a float can tell from it."""
    return math.nextafter(instant, -math.inf)


def read_answers_none(bench: Bench) -> None:
    """read answers None where nothing is."""
    bench.expect_read(bench.key(), None, "nothing at all")


def create_stores_every_byte(bench: Bench) -> None:
    """create stores a record as it is, every byte of meta and data, every digit of its times."""
    for meta, data in [
        (b"", b"x"),
        (ALL_BYTES, ALL_BYTES[::-1]),
        (b"\0\0", b"\0"),
        (b"m", ALL_BYTES * 400),
        ("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n".encode(), b"\xff\xfe{}'\"\\%s\r\n "),
    ]:
        record = bench.record(
            meta=meta, data=data, expires_at=just_before(bench.now + 1000.1), last_seen=just_before(bench.now - 0.7)
        )
        bench.expect_read(bench.put(record), record, "create")


def create_never_overwrites(bench: Bench) -> None:
    """create changes nothing where a live record is, and says so."""
    record = bench.record()
    key = bench.put(record)
    expect("create where a live record is", bench.store.create(key, bench.record(), bench.now), False)
    bench.expect_read(key, record, "a create that was refused")


def create_over_expired(bench: Bench) -> None:
    """create succeeds where a record has expired."""
    key = bench.put(bench.record(expires_at=bench.now + 10.0))
    early = bench.store.create(key, bench.record(), just_before(bench.now + 10.0))
    expect("create over a record just before it expires", early, False)
    record = bench.record(expires_at=bench.now + 20.0)
    later = bench.now + 10.0
    expect("create over a record at the instant it expires", bench.store.create(key, record, later), True)
    bench.expect_read(key, record, "create over an expired record", at=later)


def all_64_bits(bench: Bench) -> None:
    """a version keeps all its 64 bits."""
    for version in (0, 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1):
        record = bench.record(version=version)
        key = bench.put(record)
        bench.expect_read(key, record, f"create with version {version}")
        other = bench.record(version=version ^ 1)
        outcome = bench.store.replace(key, other, version, bench.now)
        expect(f"replace of version {version} by {other.version}", outcome, True)
        bench.expect_read(key, other, f"replace by version {other.version}")
        expect("delete of that version", bench.store.delete(key, bench.now, other.version), True)


def one_bit_is_another_version(bench: Bench) -> None:
    """versions that differ in one bit are different versions."""
    for bit in (0, 1, 31, 32, 33, 52, 53, 54, 62, 63):
        record = bench.record()
        key = bench.put(record)
        other = record.version ^ (1 << bit)
        outcome = bench.store.replace(key, bench.record(), other, bench.now)
        expect(f"replace with a version wrong in bit {bit}", outcome, Conflict(record))
        outcome = bench.store.delete(key, bench.now, other)
        expect(f"delete with a version wrong in bit {bit}", outcome, Conflict(record))


def every_byte_of_a_key(bench: Bench) -> None:
    """every byte of a key counts, up to 64 of them."""
    stem = bench.key()[:20] + b"\xff\x00Key %_'\""
    short = [stem + end for end in (b"", b"\0", b" ", b"\0\0", b"a", b"A", b"a\0", b"a ", b"\xe4", b"\xc4")]
    long = [stem.ljust(63, b"\0") + end for end in (b"\0", b"\1", b"z", b"Z")]
    records = {key: bench.record() for key in short + long}
    for key, record in records.items():
        bench.put(record, key=key)
    for key, record in records.items():
        bench.expect_read(key, record, f"create under {len(records)} keys that differ in their last bytes")


def read_until_expiry(bench: Bench) -> None:
    """read sees a record until its expires_at, and no longer."""
    record = bench.record(expires_at=bench.now + 10.5)
    key = bench.put(record)
    bench.expect_read(key, record, "create, just before it expires", at=just_before(record.expires_at))
    bench.expect_read(key, None, "create, at the instant it expires", at=record.expires_at)
    bench.expect_read(key, None, "create, long after it expired", at=record.expires_at + 1e6)


def replace_until_expiry(bench: Bench) -> None:
    """replace takes a record until its expires_at, and no longer."""
    record = bench.record(expires_at=bench.now + 10.5)
    early, late = bench.put(record), bench.put(record)
    before, end = just_before(record.expires_at), record.expires_at
    outcome = bench.store.replace(early, bench.record(), record.version, before)
    expect("replace just before the record expires", outcome, True)
    outcome = bench.store.replace(late, bench.record(), record.version, end)
    expect("replace at the instant the record expires", outcome, None)
    bench.expect_read(late, None, "a replace that came too late", at=end)


def delete_until_expiry(bench: Bench) -> None:
    """delete takes a record until its expires_at, and no longer: then it leaves no tombstone."""
    for expected in (None, 7):
        record = bench.record(version=7, expires_at=bench.now + 10.5)
        early, late = bench.put(record), bench.put(record)
        before, end = just_before(record.expires_at), record.expires_at
        outcome = bench.store.delete(early, before, expected, b"n")
        expect("delete just before the record expires", outcome, True)
        outcome = bench.store.delete(late, end, expected, b"n")
        expect("delete at the instant the record expires", outcome, None)
        bench.expect_read(late, None, "a delete that came too late", at=end)


def touch_until_expiry(bench: Bench) -> None:
    """touch takes a record until its expires_at, and never revives an expired one."""
    record = bench.record(expires_at=bench.now + 10.5)
    early, late = bench.put(record), bench.put(record)
    before, end = just_before(record.expires_at), record.expires_at
    touched = bench.store.touch(early, end + 100.0, before, before)
    expect("touch just before the record expires", touched, True)
    touched = bench.store.touch(late, end + 100.0, end, end)
    expect("touch at the instant the record expires", touched, False)
    bench.expect_read(late, None, "a touch that came too late", at=end)


def replace_puts_the_whole_record(bench: Bench) -> None:
    """replace puts the whole new record in place, whether its times are later or earlier."""
    for lifetime, seen in ((2000.0, 5.0), (20.0, -5.0)):
        old = bench.record()
        key = bench.put(old)
        new = bench.record(expires_at=bench.now + lifetime, last_seen=bench.now + seen, meta=b"new meta")
        expect("replace with the right version", bench.store.replace(key, new, old.version, bench.now), True)
        bench.expect_read(key, new, "replace")
        bench.expect_read(key, None, "replace, when the new record has expired", at=new.expires_at)


def replace_needs_the_version(bench: Bench) -> None:
    """replace with another version than the record's changes nothing and answers the record."""
    record = bench.record(meta=ALL_BYTES, expires_at=bench.now + 300.25, last_seen=bench.now - 7.5)
    key = bench.put(record)
    outcome = bench.store.replace(key, bench.record(), record.version ^ 1, bench.now)
    expect("replace with a wrong version", outcome, Conflict(record))
    bench.expect_read(key, record, "a replace with a wrong version")


def replace_never_creates(bench: Bench) -> None:
    """replace answers None where nothing is, and creates nothing."""
    key = bench.key()
    expect("replace where nothing is", bench.store.replace(key, bench.record(), 1, bench.now), None)
    bench.expect_read(key, None, "a replace where nothing was")
    bench.put(bench.record(), key=key)


def replace_never_revives(bench: Bench) -> None:
    """replace answers Ended, with the note, where a tombstone stands, and leaves it standing."""
    record = bench.record()
    key = bench.put(record)
    expect("delete of a live record", bench.store.delete(key, bench.now, record.version, b"note"), True)
    outcome = bench.store.replace(key, bench.record(), record.version, bench.now)
    expect("replace where a tombstone stands", outcome, Ended(b"note"))
    bench.expect_read(key, Ended(b"note"), "a replace where a tombstone stood")


def delete_ends(bench: Bench) -> None:
    """delete ends the record, and a tombstone with the note's every byte stands in its place."""
    for note in (None, b"n", b"\0", ALL_BYTES):
        for with_version in (False, True):
            record = bench.record()
            key = bench.put(record)
            version = record.version if with_version else None
            expect("delete of a live record", bench.store.delete(key, bench.now, version, note), True)
            bench.expect_read(key, Ended(note), "delete")


def delete_with_the_version(bench: Bench) -> None:
    """delete with another version than the record's changes nothing and answers the record."""
    record = bench.record(meta=ALL_BYTES, expires_at=bench.now + 300.25, last_seen=bench.now - 7.5)
    key = bench.put(record)
    outcome = bench.store.delete(key, bench.now, record.version ^ 1, b"n")
    expect("delete with a wrong version", outcome, Conflict(record))
    bench.expect_read(key, record, "a delete with a wrong version")


def delete_of_nothing(bench: Bench) -> None:
    """delete answers None where nothing is, and makes no tombstone."""
    for expected in (None, 7):
        key = bench.key()
        expect("delete where nothing is", bench.store.delete(key, bench.now, expected, b"n"), None)
        bench.expect_read(key, None, "a delete where nothing was")
        bench.put(bench.record(), key=key)


def delete_twice(bench: Bench) -> None:
    """delete answers Ended, with the note, where a tombstone stands, and leaves it as it is."""
    for expected in (None, 7):
        key = bench.tombstone(b"first")
        later = bench.now + TOMBSTONE_SECONDS / 2
        outcome = bench.store.delete(key, later, expected, b"second")
        expect("delete where a tombstone stands", outcome, Ended(b"first"))
        bench.expect_read(key, Ended(b"first"), "a second delete", at=later)
        bench.expect_read(key, None, "a second delete, when the tombstone falls", at=bench.now + TOMBSTONE_SECONDS)


def tombstone_stands(bench: Bench) -> None:
    """a tombstone stands for 600 s after the delete, however long its record had to live, and create fails."""
    for lifetime in (10.0, 1e6):
        key = bench.put(bench.record(expires_at=bench.now + lifetime))
        expect("delete of a live record", bench.store.delete(key, bench.now, None, b"note"), True)
        for at in (bench.now, bench.now + 59.0, just_before(bench.now + TOMBSTONE_SECONDS)):
            created = bench.store.create(key, bench.record(expires_at=bench.now + 1e6), at)
            expect(f"create {at - bench.now:g} s after a delete", created, False)
            bench.expect_read(key, Ended(b"note"), f"a delete {at - bench.now:g} s before", at=at)


def tombstone_falls(bench: Bench) -> None:
    """a tombstone falls 600 s after the delete, however long its record had to live, and create succeeds."""
    for lifetime in (10.0, 1e6):
        key = bench.put(bench.record(expires_at=bench.now + lifetime))
        expect("delete of a live record", bench.store.delete(key, bench.now, None, b"note"), True)
        later = bench.now + TOMBSTONE_SECONDS
        bench.expect_read(key, None, "a delete 600 s before", at=later)
        record = bench.record(expires_at=later + 10.0)
        expect("replace 600 s after a delete", bench.store.replace(key, record, 1, later), None)
        expect("touch 600 s after a delete", bench.store.touch(key, later + 10.0, later, later), False)
        expect("delete 600 s after a delete", bench.store.delete(key, later), None)
        expect("create 600 s after a delete", bench.store.create(key, record, later), True)
        bench.expect_read(key, record, "create where a tombstone had fallen", at=later)


def touch_moves_the_times(bench: Bench) -> None:
    """touch moves both times on, and nothing else."""
    record = bench.record(meta=ALL_BYTES)
    key = bench.put(record)
    expires_at, last_seen = record.expires_at + 50.125, record.last_seen + 25.25
    expect("touch of a live record", bench.store.touch(key, expires_at, last_seen, bench.now), True)
    moved = bench.record(
        version=record.version, expires_at=expires_at, last_seen=last_seen, meta=record.meta, data=record.data
    )
    bench.expect_read(key, moved, "touch")
    bench.expect_read(key, moved, "touch, at the old expires_at", at=record.expires_at)


def touch_never_goes_back(bench: Bench) -> None:
    """touch moves neither time back: it never shortens a life."""
    for later_by, seen_by in ((-1.0, 3.0), (3.0, -1.0), (-1.0, -1.0), (-1e6, 0.0)):
        record = bench.record()
        key = bench.put(record)
        expires_at, last_seen = record.expires_at + later_by, record.last_seen + seen_by
        expect("touch of a live record", bench.store.touch(key, expires_at, last_seen, bench.now), True)
        wanted = bench.record(
            version=record.version,
            expires_at=max(record.expires_at, expires_at),
            last_seen=max(record.last_seen, last_seen),
            data=record.data,
        )
        bench.expect_read(key, wanted, f"touch with expires_at {later_by:+g} s and last_seen {seen_by:+g} s")


def touch_of_nothing(bench: Bench) -> None:
    """touch answers False where nothing is, and creates nothing."""
    key = bench.key()
    expect("touch where nothing is", bench.store.touch(key, bench.now + 10.0, bench.now, bench.now), False)
    bench.expect_read(key, None, "a touch where nothing was")
    bench.put(bench.record(), key=key)


def touch_never_revives(bench: Bench) -> None:
    """touch answers False where a tombstone stands, and leaves it as it is."""
    key = bench.tombstone(b"note")
    expect("touch where a tombstone stands", bench.store.touch(key, bench.now + 1e6, bench.now, bench.now), False)
    bench.expect_read(key, Ended(b"note"), "a touch where a tombstone stood")
    later = bench.now + TOMBSTONE_SECONDS
    bench.expect_read(key, None, "a touch of a tombstone, when it falls", at=later)


def purge_is_bounded(bench: Bench) -> None:
    """purge removes at most as many as it is told, and says how many."""
    if not isinstance(bench.store, Purges):
        return
    dead = [bench.put(bench.record(expires_at=bench.now + 1.0)) for _ in range(5)]
    removed = bench.store.purge(bench.now + 1.0, 2)
    if type(removed) is not int or not 1 <= removed <= 2:
        raise BrokenObligation(f"purge with limit 2 and 5 or more dead: expected 1 or 2, got {removed!r}")
    # Time is an argument: whoever asks with an earlier one sees whether a record is still there.
    gone = sum(bench.store.read(key, bench.now) is None for key in dead)
    if gone > 2:
        raise BrokenObligation(f"purge with limit 2: expected at most 2 to be gone, got {gone}")


def purge_removes_the_dead(bench: Bench) -> None:
    """purge, told often enough, removes what has expired and the tombstones that have fallen, and then says 0."""
    if not isinstance(bench.store, Purges):
        return
    dead = [bench.put(bench.record(expires_at=bench.now + 1.0)) for _ in range(3)]
    fallen = bench.tombstone(at=bench.now + 1.0 - TOMBSTONE_SECONDS)
    _purge_all(bench.store, bench.now + 1.0)
    for key in dead:
        bench.expect_read(key, None, "purge of expired records, at an earlier time", at=bench.now)
    bench.expect_read(fallen, None, "purge of fallen tombstones, at an earlier time", at=bench.now)


def purge_spares_the_living(bench: Bench) -> None:
    """purge leaves live records alone."""
    if not isinstance(bench.store, Purges):
        return
    record = bench.record(expires_at=bench.now + 1.0)
    live, touched = bench.put(record), bench.put(record)
    expect("touch of a live record", bench.store.touch(touched, bench.now + 9.0, bench.now, bench.now), True)
    end = just_before(bench.now + 1.0)
    _purge_all(bench.store, end)
    bench.expect_read(live, record, "purge", at=end)
    _purge_all(bench.store, bench.now + 5.0)
    moved = bench.record(version=record.version, expires_at=bench.now + 9.0, data=record.data)
    bench.expect_read(touched, moved, "purge, of a record that a touch had kept alive", at=bench.now + 5.0)


def purge_spares_tombstones(bench: Bench) -> None:
    """purge leaves tombstones alone for as long as they stand."""
    if not isinstance(bench.store, Purges):
        return
    key = bench.tombstone(b"note")
    end = just_before(bench.now + TOMBSTONE_SECONDS)
    _purge_all(bench.store, end)
    bench.expect_read(key, Ended(b"note"), "purge", at=end)


def _purge_all(store: Purges, now: float) -> None:
    for _ in range(10_000):
        if not store.purge(now, 100):
            return
    raise BrokenObligation("purge, again and again: expected 0 in the end, got more than 0 for 10,000 times")


RULES = [
    read_answers_none,
    create_stores_every_byte,
    create_never_overwrites,
    create_over_expired,
    all_64_bits,
    one_bit_is_another_version,
    every_byte_of_a_key,
    read_until_expiry,
    replace_until_expiry,
    delete_until_expiry,
    touch_until_expiry,
    replace_puts_the_whole_record,
    replace_needs_the_version,
    replace_never_creates,
    replace_never_revives,
    delete_ends,
    delete_with_the_version,
    delete_of_nothing,
    delete_twice,
    tombstone_stands,
    tombstone_falls,
    touch_moves_the_times,
    touch_never_goes_back,
    touch_of_nothing,
    touch_never_revives,
    purge_is_bounded,
    purge_removes_the_dead,
    purge_spares_the_living,
    purge_spares_tombstones,
]
