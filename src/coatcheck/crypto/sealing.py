"""Sealing: authenticated encryption of what leaves for the store, and back.

A sealed message is a version byte, the four bytes of a key id, a nonce, and the ciphertext with its tag. The version
byte means one algorithm and the key id one key. Nothing is tried in turn, nothing is read of a message before it is
authenticated, and there is no second decoder to fall back to (CVE-2026-39324 in rack-session).

The key depends on the secret, the purpose and the application; of what is sealed with a token, on the token too. The
associated data holds the version, the key id, the purpose, the application and the context. So nothing can be moved
from one place to another.
"""

from __future__ import annotations

import os
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .keyring import KEY_ID_BYTES, Key, Keyring
from .xaes import XAES256GCM

_HEADER_BYTES = 1 + KEY_ID_BYTES
_TAG_BYTES = 16
_TOKEN_BYTES = 32


class Purpose(Enum):
    """What a message is for: its version byte, the label that goes into its key, and whether it takes a token.

    With a token it is AES-256-GCM under a key of that one session, for which random nonces of 96 bits are enough.
    Without, it is XAES-256-GCM under a key that all sessions share, with random nonces of 192 bits.
    """

    RECORD = (b"\x01", b"record", True)  #: the data of a session
    META = (b"\x02", b"meta", False)  #: who and where, for lists of sessions
    NOTE = (b"\x02", b"note", False)  #: what a tombstone says
    SERVER_RECORD = (b"\x03", b"server record", False)  #: the data of a session under ``policy.seal = "server"``
    POINTER = (b"\x04", b"pointer", True)  #: where a renewed session went

    def __init__(self, version: bytes, label: bytes, takes_token: bool) -> None:
        self.version = version
        self.label = label
        self.takes_token = takes_token
        self.nonce_bytes = 12 if takes_token else 24


class Unsealable(Exception):
    """This message was not sealed here, for this purpose, context and token. What exactly is wrong, it does not say.

    :param unknown_key_id: the key id that the message names, if no key of the ring has it.
    """

    def __init__(self, unknown_key_id: bytes | None = None) -> None:
        super().__init__("the sealed message cannot be opened")
        self.unknown_key_id = unknown_key_id


class Sealer:
    """Seals and opens for one application. Threads may share it, and so may processes after a fork.

    :param application: separates applications that have a secret in common.
    """

    def __init__(self, keyring: Keyring, application: str) -> None:
        self._slots = {
            (purpose, key.id): _Slot(purpose, key, application.encode()) for purpose in Purpose for key in keyring.keys
        }
        self._newest = keyring.keys[0].id

    def seal(self, purpose: Purpose, plaintext: bytes, context: bytes, token: bytes = b"") -> bytes:
        """Seal ``plaintext`` under the newest key.

        :param context: where the message will stand, such as the store key. It opens nowhere else.
        :param token: the 32 bytes of the session token. A purpose that takes no token ignores it.
        """
        slot = self._slots[purpose, self._newest]
        nonce = os.urandom(purpose.nonce_bytes)
        return slot.header + nonce + slot.cipher(token).encrypt(nonce, plaintext, slot.associated(context))

    def open(self, purpose: Purpose, sealed: bytes, context: bytes, token: bytes = b"") -> bytes:
        """Return the plaintext of what :meth:`seal` made, with the same arguments, under any key of the ring.

        :raises Unsealable: for anything else.
        """
        start = _HEADER_BYTES + purpose.nonce_bytes
        if sealed[:1] != purpose.version or len(sealed) < start + _TAG_BYTES:
            raise Unsealable
        key_id = sealed[1:_HEADER_BYTES]
        slot = self._slots.get((purpose, key_id))
        if slot is None:
            raise Unsealable(unknown_key_id=key_id)
        try:
            return slot.cipher(token).decrypt(sealed[_HEADER_BYTES:start], sealed[start:], slot.associated(context))
        except InvalidTag:
            raise Unsealable from None


class _Slot:
    """What one purpose needs under one key."""

    def __init__(self, purpose: Purpose, key: Key, application: bytes) -> None:
        scope = _framed(purpose.label) + _framed(application)
        secret = key.derive(b"coatcheck/v1 seal" + scope)
        self.header = purpose.version + key.id
        self._associated = self.header + scope
        self._shared_cipher = None if purpose.takes_token else XAES256GCM(secret)
        self._secret = secret

    def cipher(self, token: bytes) -> AESGCM | XAES256GCM:
        if self._shared_cipher is not None:
            return self._shared_cipher
        if len(token) != _TOKEN_BYTES:
            raise ValueError(f"a session token has {_TOKEN_BYTES} bytes, not {len(token)}")
        return AESGCM(HKDFExpand(hashes.SHA256(), 32, token).derive(self._secret))

    def associated(self, context: bytes) -> bytes:
        return self._associated + _framed(context)


def _framed(part: bytes) -> bytes:
    """Return ``part`` after its length, so that parts that follow each other never read as others."""
    return len(part).to_bytes(4, "big") + part
