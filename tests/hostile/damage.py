"""Every way to damage a few bytes a little."""

from __future__ import annotations

from collections.abc import Iterator


def bit_flips(original: bytes) -> Iterator[bytes]:
    """Return ``original`` with each of its bits flipped in turn."""
    for position in range(len(original)):
        for bit in range(8):
            yield original[:position] + bytes([original[position] ^ 1 << bit]) + original[position + 1 :]


def cuts(original: bytes) -> Iterator[bytes]:
    """Return ``original`` cut short at each place, from either end."""
    for length in range(len(original)):
        yield original[:length]
        yield original[len(original) - length :]


def extensions(original: bytes) -> Iterator[bytes]:
    """Return ``original`` with each byte added at either end, and with itself."""
    for byte in range(256):
        yield original + bytes([byte])
        yield bytes([byte]) + original
    yield original + original
