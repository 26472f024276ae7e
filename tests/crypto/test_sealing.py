"""What is sealed opens in its own place, under a key of the ring, and nowhere else; and nothing else opens at all."""

from __future__ import annotations

import base64
import hmac
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from coatcheck.crypto import sealing
from coatcheck.crypto.keyring import Keyring
from coatcheck.crypto.sealing import Purpose, Sealer, Unsealable

SECRET = "a strong secret that is long enough: 41 B"
OLD_SECRET = "b" * 40
CONTEXT = b"K" * 32
TOKEN = bytes(range(32))

every_purpose = pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)


def sealer(*secrets: str, application: str = "default") -> Sealer:
    return Sealer(Keyring(secrets or [SECRET]), application)


def refused(by: Sealer, purpose: Purpose, sealed: bytes, context: bytes = CONTEXT, token: bytes = TOKEN) -> bool:
    """Return whether ``sealed`` is refused, in the one way there is."""
    try:
        by.open(purpose, sealed, context, token)
    except Unsealable as error:
        return str(error) == "the sealed message cannot be opened" and error.__cause__ is None
    return False


@every_purpose
@given(st.binary(max_size=300), st.binary(max_size=70), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens(purpose: Purpose, plaintext: bytes, context: bytes, token: bytes) -> None:
    """The plaintext comes back, and is not in the message."""
    sealed = sealer().seal(purpose, plaintext, context, token)
    assert sealer().open(purpose, sealed, context, token) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed


# --- The format ---------------------------------------------------------------------------------------------------

FROZEN = {
    Purpose.RECORD: "017a6cec06a0a1a2a3a4a5a6a7a8a9aaab0790dde9268eaf3e5294490591ce08cac8b23f3fca748f0fae",
    Purpose.META: (
        "027a6cec06a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b76aa4aa739537f60dedcee505c7aca121cb7e9d76fe0d6e53bf"
    ),
    Purpose.NOTE: (
        "027a6cec06a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7c7a71c6ab66f8b72e40261336c39937b5666f60dc3e41652d8"
    ),
    Purpose.SERVER_RECORD: (
        "037a6cec06a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7f78157cbff33dc4ea7a12e3208668aa56fc47b1cc2349fe2e3"
    ),
    Purpose.POINTER: "047a6cec06a0a1a2a3a4a5a6a7a8a9aaab555d1aa2efb538576cbee0f38d4cc1bf8d30bd40e58cc2175b",
}


@every_purpose
def test_the_format_is_frozen(purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores hold what older releases sealed: these messages open, and are what is sealed with their nonces."""
    sealed = bytes.fromhex(FROZEN[purpose])
    assert sealer().open(purpose, sealed, CONTEXT, TOKEN) == b"a session"
    monkeypatch.setattr(sealing.os, "urandom", lambda length: bytes(range(0xA0, 0xA0 + length)))
    assert sealer().seal(purpose, b"a session", CONTEXT, TOKEN) == sealed


def test_the_format_is_what_is_written_down() -> None:
    """A record is opened here step by step as the module describes it, without any code of ours."""

    def framed(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    def expand(secret: bytes, info: bytes) -> bytes:  # HKDF-Expand of RFC 5869, one block
        return hmac.digest(secret, info + b"\x01", "sha256")

    sealed = sealer().seal(Purpose.RECORD, b"a session", CONTEXT, TOKEN)
    version, key_id, nonce, ciphertext = sealed[:1], sealed[1:5], sealed[5:17], sealed[17:]
    root = hmac.digest(b"coatcheck/v1", SECRET.encode(), "sha256")
    assert version == b"\x01"
    assert key_id == expand(root, b"coatcheck/v1 key id")[:4]
    scope = framed(b"record") + framed(b"default")
    key = expand(expand(root, b"coatcheck/v1 seal" + scope), TOKEN)
    assert AESGCM(key).decrypt(nonce, ciphertext, version + key_id + scope + framed(CONTEXT)) == b"a session"


def test_one_version_byte_means_one_algorithm() -> None:
    """Of the purposes that share a version byte, all take a token or none does."""
    assert {(purpose.version, purpose.takes_token) for purpose in Purpose} == {
        (b"\x01", True), (b"\x02", False), (b"\x03", False), (b"\x04", True),
    }  # fmt: skip


# --- Forged, damaged, moved ---------------------------------------------------------------------------------------


@every_purpose
def test_every_changed_bit_is_refused(purpose: Purpose) -> None:
    """A message with any single bit changed does not open (CVE-2026-40372 is what happens when nobody looks)."""
    ours = sealer()
    sealed = ours.seal(purpose, b"a session", CONTEXT, TOKEN)
    number = int.from_bytes(sealed, "big")
    for bit in range(8 * len(sealed)):
        assert refused(ours, purpose, (number ^ 1 << bit).to_bytes(len(sealed), "big"))


@every_purpose
def test_every_cut_or_longer_message_is_refused(purpose: Purpose) -> None:
    """A message with anything missing, added, or taken out of its tag does not open."""
    ours = sealer()
    sealed = ours.seal(purpose, b"a session", CONTEXT, TOKEN)
    for length in range(len(sealed)):
        assert refused(ours, purpose, sealed[:length])
        assert refused(ours, purpose, sealed[length + 1 :])
    for other in (sealed + b"\0", b"\0" + sealed, sealed * 2, sealed[:-16] + bytes(16), sealed[:-16] + sealed[:16]):
        assert refused(ours, purpose, other)


@every_purpose
def test_nothing_opens_in_another_place(purpose: Purpose) -> None:
    """Another purpose, application, context, token or secret: in each case the message does not open."""
    ours = sealer()
    sealed = ours.seal(purpose, b"a session", CONTEXT, TOKEN)
    for other in set(Purpose) - {purpose}:
        assert refused(ours, other, sealed)
        assert refused(ours, other, other.version + sealed[1:])
    assert refused(sealer(application="default2"), purpose, sealed)
    assert refused(sealer(application=""), purpose, sealed)
    assert refused(ours, purpose, sealed, context=b"L" * 32)
    assert refused(ours, purpose, sealed, context=CONTEXT + b"\0")
    assert refused(ours, purpose, sealed, token=TOKEN[::-1]) is purpose.takes_token
    assert refused(sealer(OLD_SECRET), purpose, sealed)
    forged = sealer(OLD_SECRET).seal(purpose, b"a session", CONTEXT, TOKEN)
    assert refused(ours, purpose, sealed[:5] + forged[5:])


@pytest.mark.parametrize(
    "look_alike",
    [
        b"",
        b"\x01",
        b"gAAAAABnd" + base64.urlsafe_b64encode(bytes(100)),
        URLSafeTimedSerializer(SECRET).dumps({"user_id": 1}).encode(),
        json.dumps({"user_id": 1, "padding": "x" * 50}).encode(),
        pickle.dumps({"user_id": 1, "padding": "x" * 50}),
        b"\x81\xa7user_id\x01" + bytes(60),
        bytes(100),
        b"\xff" * 100,
    ],
    ids=["nothing", "a version", "Fernet", "itsdangerous", "JSON", "pickle", "MessagePack", "zeros", "ones"],
)
@every_purpose
def test_look_alikes_are_refused(purpose: Purpose, look_alike: bytes) -> None:
    """No other format is read, not even behind our own header (CVE-2026-39324 fell back to another decoder)."""
    ours = sealer()
    header = ours.seal(purpose, b"", CONTEXT, TOKEN)[:5]
    assert refused(ours, purpose, look_alike)
    assert refused(ours, purpose, header + look_alike)


@every_purpose
@given(st.binary(max_size=120))
def test_any_bytes_are_refused(purpose: Purpose, anything: bytes) -> None:
    """No bytes that were not sealed here open, or raise anything but Unsealable, whatever header they have."""
    ours = sealer()
    header = ours.seal(purpose, b"", CONTEXT, TOKEN)[:5]
    assert refused(ours, purpose, anything)
    assert refused(ours, purpose, header + anything)


def test_a_token_is_never_left_out() -> None:
    """A purpose that takes a token neither seals nor opens without one: that would be one key for all sessions."""
    ours = sealer()
    for token in (b"", TOKEN[:31], TOKEN + b"\0"):
        with pytest.raises(ValueError, match=f"a session token has 32 bytes, not {len(token)}"):
            ours.seal(Purpose.RECORD, b"", CONTEXT, token)


# --- Keys ---------------------------------------------------------------------------------------------------------


@every_purpose
def test_the_newest_key_seals_and_all_open(purpose: Purpose) -> None:
    """After a change of keys, what the old one sealed opens, and the new one seals (CVE-2025-47278 had it reversed)."""
    before, after, later = sealer(OLD_SECRET), sealer(SECRET, OLD_SECRET), sealer(SECRET)
    old, new = (each.seal(purpose, b"a session", CONTEXT, TOKEN) for each in (before, after))
    assert after.open(purpose, old, CONTEXT, TOKEN) == b"a session"
    assert later.open(purpose, new, CONTEXT, TOKEN) == b"a session"
    assert refused(before, purpose, new)
    assert refused(later, purpose, old)


@every_purpose
def test_an_unknown_key_is_named(purpose: Purpose) -> None:
    """A message under a key that is not in the ring says which key; what is merely damaged does not."""
    sealed = sealer(OLD_SECRET).seal(purpose, b"a session", CONTEXT, TOKEN)
    with pytest.raises(Unsealable) as unknown:
        sealer().open(purpose, sealed, CONTEXT, TOKEN)
    assert unknown.value.unknown_key_id == Keyring([OLD_SECRET]).keys[0].id
    for damaged in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b"\xff" + sealed[1:]):
        with pytest.raises(Unsealable) as caught:
            sealer(OLD_SECRET).open(purpose, damaged, CONTEXT, TOKEN)
        assert caught.value.unknown_key_id is None


@every_purpose
def test_only_the_named_key_is_tried(purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a ring with many keys exactly one is used to open a message, and none for what names no key of the ring."""
    ring = [SECRET, *(f"{number:040}" for number in range(10))]
    sealed = sealer().seal(purpose, b"a session", CONTEXT, TOKEN)
    tried = []
    real_cipher = sealing._Slot.cipher

    def counted(slot: Any, token: bytes) -> Any:
        tried.append(slot)
        return real_cipher(slot, token)

    monkeypatch.setattr(sealing._Slot, "cipher", counted)
    many = sealer(*reversed(ring))
    assert not refused(many, purpose, sealed)
    assert refused(many, purpose, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert len(tried) == 2
    assert refused(many, purpose, sealed[:1] + b"\0\0\0\0" + sealed[5:])
    assert len(tried) == 2


def test_each_session_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one and the same nonce, two tokens give two key streams: random 96-bit nonces never meet under one key."""
    monkeypatch.setattr(sealing.os, "urandom", bytes)
    ours = sealer()
    one, other = (ours.seal(Purpose.RECORD, bytes(64), CONTEXT, token) for token in (TOKEN, TOKEN[::-1]))
    assert one[:17] == other[:17]
    assert one[17:] != other[17:]


@every_purpose
def test_nonces_are_never_repeated(purpose: Purpose) -> None:
    """Equal plaintexts give different messages, also after a fork and in many threads."""
    ours = sealer()

    def nonces() -> list[bytes]:
        return [ours.seal(purpose, b"", CONTEXT, TOKEN)[5 : 5 + purpose.nonce_bytes] for _ in range(200)]

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"".join(nonces()))
        finally:
            os._exit(0)
    here = nonces()
    os.close(writer)
    with open(reader, "rb") as pipe:
        received = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    there = [received[start : start + purpose.nonce_bytes] for start in range(0, len(received), purpose.nonce_bytes)]
    with ThreadPoolExecutor(4) as pool:
        threads = [nonce for each in pool.map(lambda _: nonces(), range(4)) for nonce in each]
    assert len({*here, *there, *threads}) == 200 * 6


def test_nothing_shows_a_key() -> None:
    """Neither the sealer nor what it raises shows a key, the secret or the token."""
    ours = sealer()
    with pytest.raises(Unsealable) as caught:
        ours.open(Purpose.RECORD, ours.seal(Purpose.RECORD, b"", CONTEXT, TOKEN), b"elsewhere", TOKEN)
    shown = [repr(ours), repr(vars(ours)), repr(caught.value), str(caught.value)]
    for slot in ours._slots.values():
        assert all(repr(slot._secret) not in text and slot._secret.hex() not in text for text in shown)
    assert all(SECRET not in text and repr(TOKEN) not in text for text in shown)
