"""XAES-256-GCM is what https://c2sp.org/XAES-256-GCM specifies, bit for bit."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidTag

from coatcheck.crypto.xaes import XAES256GCM

KEY = bytes(range(32))
NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(
    ("key", "associated", "expected"),
    [
        # the top bit of L is 0 in the first and 1 in the second
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_published_vectors(key: bytes, associated: bytes, expected: str) -> None:
    """Both vectors that the specification gives in full come out."""
    cipher = XAES256GCM(key)
    assert cipher.encrypt(NONCE, b"XAES-256-GCM", associated).hex() == expected
    assert cipher.decrypt(NONCE, bytes.fromhex(expected), associated) == b"XAES-256-GCM"


def test_accumulated_vectors() -> None:
    """The 10,000 random messages of the specification hash to its value, and each of them opens again."""
    stream = hashlib.shake_128().digest(10_000 * (32 + 24 + 1 + 255 + 1 + 255))
    assert stream.startswith(bytes.fromhex("7f9c2ba4e88f827d616045507605853e"))
    position = 0

    def take(length: int) -> bytes:
        nonlocal position
        position += length
        return stream[position - length : position]

    ciphertexts = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = take(32), take(24)
        plaintext = take(take(1)[0])
        associated = take(take(1)[0])
        cipher = XAES256GCM(key)
        ciphertext = cipher.encrypt(nonce, plaintext, associated)
        assert cipher.decrypt(nonce, ciphertext, associated) == plaintext
        ciphertexts.update(ciphertext)
    assert ciphertexts.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def test_every_changed_bit_is_refused() -> None:
    """A message with one bit changed, of key, nonce, associated data, ciphertext or tag, does not open."""
    parts = [KEY, NONCE, XAES256GCM(KEY).encrypt(NONCE, b"plain text", b"associated"), b"associated"]
    for index, part in enumerate(parts):
        for bit in range(8 * len(part)):
            key, nonce, ciphertext, associated = [*parts[:index], flipped(part, bit), *parts[index + 1 :]]
            with pytest.raises(InvalidTag):
                XAES256GCM(key).decrypt(nonce, ciphertext, associated)


def test_every_cut_message_is_refused() -> None:
    """A message with anything missing or added at either end does not open."""
    cipher = XAES256GCM(KEY)
    message = cipher.encrypt(NONCE, b"plain text", b"")
    for other in [message + b"\0", b"\0" + message, *(message[:n] for n in range(len(message))), message[1:]]:
        with pytest.raises(InvalidTag):
            cipher.decrypt(NONCE, other, b"")


def test_lengths_are_checked() -> None:
    """A key is 32 bytes and a nonce 24; anything else is an error that says so."""
    for length in (0, 16, 31, 33):
        with pytest.raises(ValueError, match=f"key has 32 bytes, not {length}"):
            XAES256GCM(bytes(length))
    for length in (0, 12, 23, 25):
        with pytest.raises(ValueError, match=f"nonce has 24 bytes, not {length}"):
            XAES256GCM(KEY).encrypt(bytes(length), b"", b"")
        with pytest.raises(ValueError, match=f"nonce has 24 bytes, not {length}"):
            XAES256GCM(KEY).decrypt(bytes(length), bytes(16), b"")


def test_threads_share_a_cipher() -> None:
    """One cipher object serves many threads at once."""
    cipher = XAES256GCM(KEY)

    def round_trip(number: int) -> bool:
        nonce = number.to_bytes(24, "big")
        return cipher.decrypt(nonce, cipher.encrypt(nonce, nonce * 100, b""), b"") == nonce * 100

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(2000)))
