"""Laws 8 and 14: a sealed record that is damaged in the store, be it by one bit, opens no more and is not parsed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Literal

import pytest

from coatcheck.crypto.sealing import Purpose, Unsealable
from coatcheck.policy import Policy
from coatcheck.stores import Ended, Store

from .damage import bit_flips, cuts, extensions
from .site import Site


def damaged(sealed: bytes) -> Iterator[bytes]:
    """Return every way to flip a bit, cut or extend, and every other version byte."""
    versions = (bytes([byte]) + sealed[1:] for byte in range(256) if byte != sealed[0])
    return chain(bit_flips(sealed), cuts(sealed), extensions(sealed), versions)


@pytest.fixture
def nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, decoding what has been opened fails the test: there is nothing that could be opened."""

    def refuse(data: bytes) -> None:
        pytest.fail(f"{data!r} was parsed")

    monkeypatch.setattr("coatcheck.records.decode", refuse)
    monkeypatch.setattr("coatcheck.lifecycle.decode", refuse)


@pytest.mark.parametrize("seal", ["token", "server"])
def test_every_bit_flip_truncation_and_extension_of_the_data_is_refused(
    store: Store, seal: Literal["token", "server"], request: pytest.FixtureRequest
) -> None:
    """A tampered record is as an unknown token: the visitor is anonymous, nothing is parsed, written or deleted."""
    site = Site(store, policy=Policy(seal=seal))
    cookie = site.send("/login/ann", site.send("/write/x"))
    record = site.record(cookie)
    request.getfixturevalue("nothing_is_parsed")
    for data in damaged(record.data):
        site.overwrite(cookie, dataclasses.replace(record, data=data))
        site.watched.calls.clear()
        answer = site.visit("/", f"session={cookie}".encode())
        assert (answer.status_code, answer.get_json(), "Set-Cookie" in answer.headers) == (200, {}, False), data
        assert site.watched.calls == ["read"]


def test_every_bit_flip_truncation_and_extension_of_a_pointer_is_refused(
    store: Store, request: pytest.FixtureRequest
) -> None:
    """What a renewal leaves at the old token leads to the new one or, damaged, nowhere."""
    site = Site(store, policy=Policy(renew_after=60))
    cookie = site.send("/write/x")
    site.clock.advance(timedelta(seconds=60))
    assert site.send("/", cookie) != cookie
    pointer = site.record(cookie)
    assert site.read(cookie) == {"value": "x"}
    request.getfixturevalue("nothing_is_parsed")
    for data in damaged(pointer.data):
        site.overwrite(cookie, dataclasses.replace(pointer, data=data))
        assert site.read(cookie) == {}, data
    for meta in damaged(pointer.meta):
        assert site.records.pointer_target(site.key(cookie), dataclasses.replace(pointer, meta=meta)) is None


def test_every_bit_flip_truncation_and_extension_of_the_meta_is_refused(site: Site) -> None:
    """Damaged meta opens no more; and authority comes from data only, so that the session is what it was."""
    cookie = site.send("/login/ann")
    record = site.record(cookie)
    header = f"session={cookie}".encode()
    before = site.visit("/user", header).get_json()
    assert before["user"] == "ann"
    for meta in damaged(record.meta):
        with pytest.raises(Unsealable):
            site.records.sealer.open(Purpose.META, meta, site.key(cookie))
        site.overwrite(cookie, dataclasses.replace(record, meta=meta))
        assert site.visit("/user", header).get_json() == before


def test_every_bit_flip_truncation_and_extension_of_a_note_is_refused(site: Site) -> None:
    """What a rotation leaves in the tombstone names the next store key or, damaged, nothing."""
    old = site.send("/write/x")
    new = site.send("/rotate", old)
    tombstone = site.store.read(site.key(old), site.clock())
    assert isinstance(tombstone, Ended)
    assert tombstone.note
    assert site.records.open_note(site.key(old), tombstone.note) == site.key(new)
    for note in damaged(tombstone.note):
        assert site.records.open_note(site.key(old), note) is None
