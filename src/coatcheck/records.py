"""The inside of a record: what is sealed into the ``meta`` and ``data`` that a store keeps, and how it is opened again.

Authority comes from ``data`` only, which takes the token to open. ``meta`` says who and where, to operators and to a
logout that arrives by an old token; nothing is decided by it (DESIGN §2, law 8).
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from .codec import decode, encode
from .crypto.sealing import Purpose, Sealer, Unsealable
from .policy import Policy, Terms
from .stores.contract import TOMBSTONE_SECONDS, Record
from .tokens import SessionToken

#: For how long a renewed token is still honoured, in seconds: as long as a page's requests may be under way.
POINTER_SECONDS = 60.0

_SESSION_META = 0
_POINTER_META = 1


class Life(NamedTuple):
    """What a session is besides the values it holds.

    :param handle: its random public name, 12 bytes.
    :param created_at: when it was first stored, in whole seconds since 1970, as all times here.
    :param ends_at: its absolute end.
    :param user: whoever ``login()`` said it is.
    :param login_at: when that was, or when the user last proved it again.
    :param lifetime: seconds for which ``login(remember=…)`` keeps it, instead of the framework's lifetime.
    :param epoch: the store's epoch in which it was made.
    :param token_at: since when it has its present token.
    """

    handle: bytes
    created_at: int
    ends_at: int
    user: str | int | None = None
    login_at: int | None = None
    lifetime: int | None = None
    epoch: int | None = None
    token_at: int | None = None

    @classmethod
    def begin(cls, policy: Policy, terms: Terms, now: float) -> Life:
        """Return the life of a session that is first stored now."""
        absolute = policy.absolute_seconds(terms.lifetime)
        return cls(handle=secrets.token_bytes(12), created_at=int(now), ends_at=int(now + absolute))

    def with_login(
        self, user: str | int, lifetime: int | None, policy: Policy, terms: Terms, now: float
    ) -> Life:
        """Return this life after a login or re-authentication, which restarts the clocks (NIST SP 800-63B-4 5.2)."""
        absolute = policy.absolute_seconds(terms.lifetime if lifetime is None else lifetime)
        return self._replace(user=user, login_at=int(now), lifetime=lifetime, ends_at=int(now + absolute))

    def with_new_token(self, now: float) -> Life:
        """Return this life under a token made now."""
        return self._replace(token_at=int(now))


class Opened(NamedTuple):
    """A session's record, opened: its life, and its values as encoded."""

    life: Life
    values: bytes


class Pointer(NamedTuple):
    """What a renewal leaves at the old token: the new one, and until when the old one is honoured."""

    token: SessionToken
    until: float


class Records:
    """Makes the records of one application and opens them.

    :param application: separates applications that share a store or a secret key.
    """

    def __init__(self, sealer: Sealer, application: str, policy: Policy) -> None:
        self.sealer = sealer
        self.application = application
        self._purpose = Purpose.SERVER_RECORD if policy.seal == "server" else Purpose.RECORD

    def key(self, token: SessionToken) -> bytes:
        """Return the store key of ``token``."""
        return token.store_key(self.application)

    def seal(
        self, token: SessionToken, life: Life, values: bytes, expires_at: float, now: float
    ) -> Record:
        """Make the record of a session, under a version of its own."""
        key = self.key(token)
        fields: list[Any] = [
            life.handle, life.created_at, life.ends_at, values,
            life.user, life.login_at, life.lifetime, life.epoch, life.token_at,
        ]  # fmt: skip
        while fields[-1] is None:  # most sessions are anonymous, and bytes are counted (DESIGN §9)
            fields.pop()
        meta = b""
        if life.user is not None:
            who = encode([_SESSION_META, life.handle, life.user, life.created_at, life.login_at])
            meta = self.sealer.seal(Purpose.META, who, key)
        data = self.sealer.seal(self._purpose, encode(fields), key, token.secret)
        return Record(secrets.randbits(64), min(expires_at, life.ends_at), now, meta, data)

    def seal_pointer(self, token: SessionToken, target: SessionToken, now: float) -> Record:
        """Make the record that sends ``token`` on to ``target`` for another :data:`POINTER_SECONDS`.

        It stays as long as a tombstone would: a logout that took longer must still find the session.
        """
        key, until = self.key(token), now + POINTER_SECONDS
        # Sealed under the old token whatever the policy: with it, the secret key and a dump would yield a live token.
        data = self.sealer.seal(Purpose.POINTER, encode([target.secret, until]), key, token.secret)
        meta = self.sealer.seal(Purpose.META, encode([_POINTER_META, self.key(target)]), key)
        return Record(secrets.randbits(64), now + TOMBSTONE_SECONDS, now, meta, data)

    def open(self, token: SessionToken, record: Record) -> Opened | Pointer:
        """Open what was stored for ``token``.

        :raises Unsealable: if it was not sealed by us, for this token, under a key of the ring.
        """
        key = self.key(token)
        if record.data[:1] == Purpose.POINTER.version:
            secret, until = decode(self.sealer.open(Purpose.POINTER, record.data, key, token.secret))
            return Pointer(SessionToken(secret), until)
        fields = decode(self.sealer.open(self._purpose, record.data, key, token.secret))
        handle, created_at, ends_at, values, *optional = fields
        # A later version may have added fields; after a roll-back they are ignored.
        return Opened(Life(handle, created_at, ends_at, *optional[: len(Life._fields) - 3]), values)

    def seal_note(self, key: bytes, next_key: bytes) -> bytes:
        """Make the note of a tombstone: under which store key the session goes on, for a logout by the old token."""
        return self.sealer.seal(Purpose.NOTE, next_key, key)

    def open_note(self, key: bytes, note: bytes | None) -> bytes | None:
        """Return the store key that a tombstone's note names, if it has one that is ours."""
        if not note:
            return None
        try:
            return self.sealer.open(Purpose.NOTE, note, key)
        except Unsealable:
            return None

    def pointer_target(self, key: bytes, record: Record) -> bytes | None:
        """Return the store key to which the record at ``key`` points, if it is a pointer. Needs no token."""
        if record.data[:1] != Purpose.POINTER.version:
            return None
        try:
            kind, target, *_ = decode(self.sealer.open(Purpose.META, record.meta, key))
        except Unsealable:
            return None
        return target if kind == _POINTER_META else None
