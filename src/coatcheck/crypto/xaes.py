"""XAES-256-GCM (https://c2sp.org/XAES-256-GCM): AES-256-GCM with nonces long enough to be random.

2**80 messages under one key are safe at random nonces of 24 bytes, where plain AES-GCM with its 12 allows 2**32.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

NONCE_BYTES = 24


class XAES256GCM:
    """The cipher under one key, used like :class:`cryptography.hazmat.primitives.ciphers.aead.AESGCM`.

    :param key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError(f"an XAES-256-GCM key has 32 bytes, not {len(key)}")
        self._block_cipher = Cipher(AES(key), modes.ECB())  # noqa: S305 (the bare block cipher of the specification)
        top = int.from_bytes(self._encrypt_blocks(bytes(16)), "big") << 1
        k1 = top if top < 1 << 128 else (top ^ 0x87) % (1 << 128)
        # M1 and M2 of the specification with K1 added, but for the nonce
        self._masks = (k1 ^ 0x0001_5800 << 96, k1 ^ 0x0002_5800 << 96)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Return the ciphertext and its tag of 16 bytes.

        :param nonce: 24 bytes, never used twice with one key. Random ones are not.
        """
        return self._message_cipher(nonce).encrypt(nonce[12:], plaintext, associated)

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Return the plaintext.

        :raises cryptography.exceptions.InvalidTag: if any of the arguments, or the key, is not what it was.
        """
        return self._message_cipher(nonce).decrypt(nonce[12:], ciphertext, associated)

    def _message_cipher(self, nonce: bytes) -> AESGCM:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        half = int.from_bytes(nonce[:12], "big")
        return AESGCM(self._encrypt_blocks(b"".join((mask ^ half).to_bytes(16, "big") for mask in self._masks)))

    def _encrypt_blocks(self, blocks: bytes) -> bytes:
        # An encryptor is made for each message: one that threads share raises when two of them use it at once.
        return self._block_cipher.encryptor().update(blocks)
