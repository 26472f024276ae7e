"""Law 8, for an attacker who can write to the store, row by row: what is noticed, and what is not.

Whoever can *write* to the store can end a session, keep it from idling out (never past its absolute end), or put back
an earlier state of it, an ended one included; they cannot forge, swap or read one.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from coatcheck.crypto.sealing import Purpose, Unsealable
from coatcheck.policy import Policy
from coatcheck.stores import TOMBSTONE_SECONDS, SQLiteStore, Store

from .site import Site

DAY = timedelta(days=1)


def test_a_record_planted_for_a_chosen_token_is_no_session(site: Site) -> None:
    """Noticed, they cannot forge one: another session's record, moved to a token they know, does not open there."""
    victim = site.send("/login/ann", site.send("/write/x"))
    chosen = site.send("/write/own")
    site.overwrite(chosen, site.record(victim))
    assert site.read(chosen) == {}
    assert site.read(victim) == {"value": "x"}


def test_a_record_sealed_with_another_secret_key_is_no_session(site: Site) -> None:
    """Noticed, they cannot forge one: with a secret key of their own it does not open, though they know the token."""
    chosen = site.send("/write/own")
    forger = Site(site.store, secret="The secret key of somebody who can write to the store")
    site.overwrite(chosen, forger.record(forger.send("/login/admin")))
    assert site.visit("/user", f"session={chosen}".encode()).get_json() == {"user": None, "handle": None}


def test_a_record_of_another_application_is_no_session(site: Site) -> None:
    """Noticed, they cannot forge one: nor with a record of another application that has the same secret key."""
    other = Site(site.store, application="other")
    theirs = other.send("/write/theirs")
    ours = site.send("/write/ours")
    site.overwrite(ours, other.record(theirs))
    assert site.read(ours) == {}


@pytest.mark.parametrize("parts", [("data",), ("meta",), ("meta", "data"), ("version", "meta", "data")])
def test_two_rows_that_are_swapped_open_no_more(site: Site, parts: tuple[str, ...]) -> None:
    """Noticed, they cannot swap: data and meta are bound to their store key, and neither opens anywhere else."""
    ann, bob = (site.send(f"/login/{user}", site.send(f"/write/of-{user}")) for user in ("ann", "bob"))
    records = {ann: site.record(ann), bob: site.record(bob)}
    for cookie, other, own in ((ann, bob, "of-ann"), (bob, ann, "of-bob")):
        from_other = {part: getattr(records[other], part) for part in parts}
        site.overwrite(cookie, dataclasses.replace(records[cookie], **from_other))
        assert site.read(cookie) == ({} if "data" in parts else {"value": own})
        if "meta" in parts:
            with pytest.raises(Unsealable):
                site.records.sealer.open(Purpose.META, from_other["meta"], site.key(cookie))


def test_an_earlier_state_that_is_put_back_is_not_noticed(site: Site) -> None:
    """Not noticed: they can put back an earlier state of a session, which is the visitor's own, and whole."""
    cookie = site.send("/write/earlier")
    earlier = site.record(cookie)
    site.send("/write/later", cookie)
    site.overwrite(cookie, earlier)
    assert site.read(cookie) == {"value": "earlier"}


def test_an_ended_session_that_is_put_back_is_not_noticed(site: Site) -> None:
    """Not noticed: they can put back an ended one, until its absolute end."""
    cookie = site.send("/login/ann", site.send("/write/x"))
    copied = site.record(cookie)
    site.send("/logout", cookie)
    assert site.read(cookie) == {}
    site.clock.advance(TOMBSTONE_SECONDS)
    assert site.store.create(site.key(cookie), copied, site.clock())
    assert site.read(cookie) == {"value": "x"}


def test_a_session_kept_from_idling_out_still_ends_at_its_absolute_end(store: Store) -> None:
    """They can keep it from idling out, never past its absolute end: that is sealed, and law 10 reads it there."""
    site = Site(store, policy=Policy(absolute=3 * DAY))
    cookie = site.send("/write/x")
    site.overwrite(cookie, dataclasses.replace(site.record(cookie), expires_at=4e9, last_seen=4e9))
    site.clock.advance(3 * DAY - timedelta(seconds=1))
    assert site.read(cookie) == {"value": "x"}
    site.clock.advance(1)
    assert site.read(cookie) == {}


@pytest.mark.parametrize("column", ["version", "expires_at", "last_seen", "meta", "data"])
@pytest.mark.parametrize(
    "value", ["text", b"bytes", 7, -7, 2**63 - 1, 1e11, 1e300, -1e300, float("inf"), -float("inf")]
)
def test_nonsense_in_a_row_is_no_error(tmp_path: Path, column: str, value: object) -> None:
    """They can end a session, and no more: whatever stands in a row of the file, the visitor gets an answer."""
    for path in ("/", "/times", "/write/x", "/login/ann", "/rotate", "/logout"):
        site = Site(SQLiteStore(tmp_path / "sessions.db"))
        cookie = site.send("/permanent")
        with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)) as connection:
            connection.execute(f"UPDATE coatcheck_sessions SET {column} = ?", (value,))
        assert site.visit(path, f"session={cookie}".encode()).status_code == 200


def test_a_pointer_that_is_kept_still_ends_after_its_grace(store: Store) -> None:
    """A renewed token's own end, 60 s, is sealed in the pointer and checked on read, whatever the row says."""
    site = Site(store, policy=Policy(renew_after=60))
    old = site.send("/write/x")
    site.clock.advance(60)
    new = site.send("/", old)
    site.overwrite(old, dataclasses.replace(site.record(old), expires_at=4e9))
    site.clock.advance(59)
    assert site.read(old) == {"value": "x"}
    site.clock.advance(1)
    assert site.read(old) == {}
    assert site.read(new) == {"value": "x"}


class Exploit:
    """Unpickled, it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("prefix", ["nothing", "the version byte", "the version byte and key id", "the whole header"])
def test_pickle_and_json_planted_in_the_store_are_inert(site: Site, tmp_path: Path, prefix: str) -> None:
    """Law 14: nothing is unpickled, and no byte is parsed before it is authenticated."""
    proof = tmp_path / "proof"
    payload = pickle.dumps(Exploit(proof))
    pickle.loads(payload)
    assert proof.exists()  # it would work
    proof.unlink()
    cookie = site.send("/write/x")
    record = site.record(cookie)
    header = record.data[: {"nothing": 0, "the version byte": 1, "the version byte and key id": 5}.get(prefix, 17)]
    for planted in (payload, json.dumps({"user_id": 1}).encode(), b"", b"\x80", b"\xc1" * 100):
        site.overwrite(cookie, dataclasses.replace(record, meta=header + planted, data=header + planted))
        assert site.read(cookie) == {}
    assert not proof.exists()
