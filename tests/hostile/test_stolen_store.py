"""Law 8, for an attacker who has a copy of the store: it yields no usable token and no readable session data."""

from __future__ import annotations

import base64
import sqlite3
from binascii import hexlify
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coatcheck.crypto.sealing import Purpose, Unsealable
from coatcheck.stores import SQLiteStore

from .site import Site


class Loot:
    """A site on SQLite with a visitor who has logged in, changed the token and come back, and what is on the disk."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(SQLiteStore(folder / "sessions.db"))
        anonymous = self.site.send("/write/anonymous-marker")
        logged_in = self.site.send("/login/ann@example.org", anonymous)
        self.cookie = self.site.send("/rotate", logged_in)
        self.site.send("/write/session-marker", self.cookie)
        self.cookies = (anonymous, logged_in, self.cookie)
        self.files = {file.name: file.read_bytes() for file in folder.iterdir()}
        with closing(sqlite3.connect(folder / "sessions.db")) as connection:
            rows = connection.execute("SELECT key, meta, data FROM coatcheck_sessions").fetchall()
            connection.execute("PRAGMA wal_checkpoint")
        self.rows: list[tuple[bytes, bytes | None, bytes | None]] = rows
        self.files["after a checkpoint"] = (folder / "sessions.db").read_bytes()
        self.handle: str = self.site.visit("/user", f"session={self.cookie}".encode()).get_json()["handle"]


@pytest.fixture
def loot(tmp_path: Path) -> Loot:
    return Loot(tmp_path)


@pytest.mark.parametrize(
    "spelling",
    [bytes, base64.urlsafe_b64encode, base64.b64encode, base64.b32encode, base64.b16encode, hexlify],
    ids=["raw", "base64url", "base64", "base32", "HEX", "hex"],
)
def test_a_dump_of_the_file_contains_no_token(loot: Loot, spelling: Callable[[bytes], bytes]) -> None:
    """A dump yields no usable token, in any encoding: not the file nor its -wal, before a checkpoint or after it."""
    assert {"sessions.db", "sessions.db-wal"} <= loot.files.keys()
    for cookie in loot.cookies:
        token = spelling(base64.urlsafe_b64decode(cookie + "=")).rstrip(b"=")
        assert all(token not in content for content in loot.files.values())


def test_a_dump_of_the_file_contains_no_session_value(loot: Loot) -> None:
    """A dump yields no readable session data: no key, no value, no user, no handle."""
    content = b"".join(loot.files.values())
    assert loot.site.key(loot.cookie) in content  # it is the right file
    for marker in (b"value", b"anonymous-marker", b"session-marker", b"ann@example", bytes.fromhex(loot.handle)):
        assert marker not in content
    assert loot.handle.encode() not in content


def test_nothing_in_a_dump_works_as_a_cookie(loot: Loot) -> None:
    """No store key works as a cookie, nor does any other stretch of 32 bytes of a row."""
    for row in loot.rows:
        for column in filter(None, row):
            for start in range(max(1, len(column) - 31)):
                value = base64.urlsafe_b64encode(column[start : start + 32]).rstrip(b"=").decode()
                assert loot.site.read(value) == {}
    assert loot.site.read(loot.cookie) == {"value": "session-marker"}


def test_a_handle_is_useless_as_a_cookie(loot: Loot) -> None:
    """A handle is useless as a cookie: as it is, as its bytes, and filled up to the length of a token."""
    handle = bytes.fromhex(loot.handle)
    spelt = (base64.urlsafe_b64encode(secret).rstrip(b"=").decode() for secret in (handle, handle.ljust(32, b"\0")))
    for value in (loot.handle, *spelt):
        assert loot.site.read(value) == {}


def test_with_the_secret_key_as_well_a_dump_opens_no_data(loot: Loot) -> None:
    """With the secret key, it shows who is logged in, and still opens no data: that takes the token."""
    sealer = loot.site.records.sealer
    ((key, meta, data),) = ((key, meta, data) for key, meta, data in loot.rows if meta and data)
    assert b"ann@example.org" in sealer.open(Purpose.META, meta, key)
    for purpose in Purpose:
        for guess in (key, bytes(32), meta[:32], data[:32], data[-32:]):
            with pytest.raises(Unsealable):
                sealer.open(purpose, data, key, guess)
