"""The session token and its two faces: the value in the visitor's cookie, and the key of the record in the store.

The token is the secret. The store only ever learns its SHA-256, so that neither a dump of the store nor the timing of
a lookup yields a cookie (CVE-2019-16782 in Rack; ASVS 5.0 7.2.3).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

#: ASVS 5.0 7.2.3 asks for at least 128 bits; this is 256.
TOKEN_BYTES = 32

# 32 bytes are 43 characters, of which the last carries four bits: only sixteen characters may end it, so that
# each token has exactly one spelling. After a dot: the second of the last refresh (DESIGN §6, Timeouts), and after
# another, the lifetime of a session that has one of its own.
_NUMBER = r"\.(0|[1-9][0-9]{0,10})"
_COOKIE_VALUE = re.compile(rf"([A-Za-z0-9_-]{{42}}[AEIMQUYcgkosw048])(?:{_NUMBER}(?:{_NUMBER})?)?", re.ASCII)


class SessionToken:
    """32 random bytes that stand for one life of a session. Never stored, logged or shown: its repr is masked."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    @classmethod
    def new(cls) -> SessionToken:
        """Return a token from the operating system's random generator."""
        return cls(secrets.token_bytes(TOKEN_BYTES))

    def cookie_value(self, refreshed_at: float | None = None, lifetime: int | None = None) -> str:
        """Return what the cookie holds.

        Of a permanent session it also says when it was refreshed, so that an untouched request can tell whether that
        is due again without asking the store. Nothing else trusts it.

        :param refreshed_at: the time of the last refresh, in seconds since 1970.
        :param lifetime: in seconds, if it is the session's own and not that of the framework's settings.
        """
        text = urlsafe_b64encode(self.secret).rstrip(b"=").decode("ascii")
        if refreshed_at is None:
            return text
        return f"{text}.{int(refreshed_at)}" if lifetime is None else f"{text}.{int(refreshed_at)}.{lifetime}"

    def store_key(self, application: str) -> bytes:
        """Return the 32 bytes under which ``application`` stores the record. Useless as a cookie."""
        name = application.encode()
        return hashlib.sha256(len(name).to_bytes(2, "big") + name + self.secret).digest()

    def __repr__(self) -> str:
        return "<SessionToken (secret)>"

    def __reduce__(self) -> str:
        raise TypeError("a session token is never serialized; it travels in its cookie alone")


class CookieValue(NamedTuple):
    """What the value of a session cookie says; see :meth:`SessionToken.cookie_value`."""

    token: SessionToken
    refreshed_at: int | None
    lifetime: int | None


def parse_cookie_value(value: str) -> CookieValue | None:
    """Take apart the value of a session cookie.

    ``None`` for anything that we did not write, to the last bit. Whether such a session exists is another question.
    """
    match = _COOKIE_VALUE.fullmatch(value)
    if match is None:
        return None
    text, *numbers = match.groups()
    refreshed_at, lifetime = (None if number is None else int(number) for number in numbers)
    return CookieValue(SessionToken(urlsafe_b64decode(text + "=")), refreshed_at, lifetime)
