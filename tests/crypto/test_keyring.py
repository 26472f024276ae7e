"""A keyring derives keys from secrets, names them, keeps them to itself, and refuses what is no secret."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coatcheck.crypto.keyring import Key, Keyring, weakness
from coatcheck.errors import ConfigurationError

STRONG = "a strong secret that is long enough: 41 B"


def test_keys_are_hkdf() -> None:
    """A key is RFC 5869's HKDF-SHA256 of the secret, which another implementation of it confirms."""
    expected = HKDF(hashes.SHA256(), 32, salt=b"coatcheck/v1", info=b"some use").derive(STRONG.encode())
    assert Key(STRONG.encode()).derive(b"some use") == expected


def test_short_secrets_are_stretched() -> None:
    """Under 32 bytes the secret goes through scrypt first; from 32 on it is used as it is."""
    short, enough = b"x" * 31, b"x" * 32
    stretched = hashlib.scrypt(short, salt=b"coatcheck/v1 short secret", n=2**14, r=8, p=1, dklen=32)
    for secret, material in [(short, stretched), (enough, enough)]:
        root = hmac.digest(b"coatcheck/v1", material, "sha256")
        assert Key(secret).derive(b"use") == hmac.digest(root, b"use\x01", "sha256")


def test_stretching_is_paid_once() -> None:
    """A test suite that makes an application per test pays for its short secret once per process."""
    Keyring(["only once"])
    started = time.process_time()
    for _ in range(100):
        Keyring(["only once"])
    assert time.process_time() - started < 1.0


def test_key_ids_name_key_material() -> None:
    """The key id depends on the secret alone, as str or bytes, and differs between secrets."""
    (first,), (second,) = Keyring([STRONG]).keys, Keyring([STRONG.encode()]).keys
    assert first.id == second.id
    assert len(first.id) == 4
    assert Key(b"s" * 40).id != first.id


def test_the_key_ids_are_frozen() -> None:
    """Stored records name their key by its id: it must never change for a secret."""
    assert [key.id.hex() for key in Keyring([STRONG, "dev"]).keys] == ["7a6cec06", "25e6fe8e"]


def test_uses_have_independent_keys() -> None:
    """Two uses of one secret have two keys, and neither is the secret."""
    key = Key(b"k" * 32)
    assert len({key.derive(b"one"), key.derive(b"two"), b"k" * 32}) == 3


def test_order_is_kept_and_doubles_count_once() -> None:
    """The first secret seals; one that is there twice is there once."""
    ring = Keyring([STRONG, "b" * 40, STRONG.encode(), "b" * 40])
    assert [key.id for key in ring.keys] == [Key(STRONG.encode()).id, Key(b"b" * 40).id]


def test_equal_key_ids_are_refused() -> None:
    """Two secrets that happen to have one key id (these two do) cannot be told apart, so they are refused."""
    colliding = [b"secret key number %014d" % number for number in (38442, 119053)]
    assert len({Key(secret).id for secret in colliding}) == 1
    with pytest.raises(ConfigurationError, match="two different secret keys have one key id"):
        Keyring(colliding)


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ([], "there is no secret key; set SECRET_KEY"),
        (STRONG, "the secret keys are one plain string; write a list"),
        (STRONG.encode(), "the secret keys are one plain string; write a list"),
        ([STRONG, *"old key"], r'write SECRET_KEY_FALLBACKS = \["the old key"\], with the brackets'),
        ([STRONG, *b"old key"], "a secret key is a str or bytes; this one has the type int"),
        ([STRONG, None], "this one has the type NoneType"),
        ([""], "a secret key is empty"),
        ([STRONG, b""], "a secret key is empty"),
        (["\udc80" * 40], "a secret key is not valid text; write it as bytes"),
    ],
)
def test_what_is_no_keyring_is_refused(secrets: Any, message: str) -> None:
    """Each mistake in the secrets is one sentence at start-up, and none of them shows a secret."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Keyring(secrets)
    assert "strong secret" not in str(caught.value)
    assert "udc80" not in str(caught.value)


def test_repr_shows_key_ids_only() -> None:
    """What ends up in a log or a traceback names the keys and shows nothing of them."""
    ring = Keyring([STRONG, "dev"])
    ids = [key.id.hex() for key in ring.keys]
    assert repr(ring) == f"<Keyring {ids[0]} {ids[1]}>"
    assert [repr(key) for key in ring.keys] == [f"<Key {ids[0]}>", f"<Key {ids[1]}>"]


@pytest.mark.parametrize(
    "secret",
    [
        "test", "dev", b"dev", "secret", "secret_key", b"secret_key", "SECRET KEY", "changeme", "Change-Me!",
        "your-secret-key", "your_secret_key_here", "super secret key", "you-will-never-guess",
        "why would I tell you my secret key?", "A0Zr98j/3yX R~XHH!jmN]LWX/,?RT", b'_5#y2L"F4Q8z\n\xec]/',
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
        "\2\1thisismyscretkey\1\2\\e\\y\\y\\h",
    ],
)  # fmt: skip
def test_well_known_secrets_are_weak(secret: str | bytes) -> None:
    """What tutorials and projects print is weak at any length, however it is spelled."""
    assert weakness(secret) == "is a well-known example, which is what an attacker tries first"


@pytest.mark.parametrize("secret", ["x", "xxx", "XXXXX", "XXXXXXXXXX", "0" * 64, bytes(32)])
def test_one_character_is_weak(secret: str | bytes) -> None:
    """One character is no secret, however often it is repeated."""
    assert weakness(secret) == "is one character, repeated"


def test_short_is_weak() -> None:
    """Under 32 bytes, of UTF-8 where it is text, a secret is short; random ones from 32 bytes on are fine."""
    assert weakness("correct horse battery staple") == "has only 28 bytes, and 32 are needed"
    assert weakness(b"\x9f" + bytes(range(23))) == "has only 24 bytes, and 32 are needed"
    assert weakness("äöüß" * 4) is None
    assert weakness(os.urandom(32)) is None
    assert weakness(os.urandom(16).hex()) is None
