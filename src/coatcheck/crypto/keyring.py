"""The keyring: an application's secret keys, newest first. The newest seals, all of them open.

From each secret come a key id, which every sealed message names, and as many independent keys as there are uses, by
HKDF-SHA256 (RFC 5869). So one key is chosen by its id, and none is ever tried on a guess.
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..errors import ConfigurationError

KEY_ID_BYTES = 4

#: A secret of so many bytes is used as it is; a shorter one is stretched first (DESIGN §6, Keys).
STRONG_BYTES = 32

# Both salts are public and part of the format. They set our keys apart from whatever else uses the same secret.
_EXTRACT_SALT = b"coatcheck/v1"
_STRETCH_SALT = b"coatcheck/v1 short secret"


class Key:
    """One secret of the ring. Its repr shows the key id and nothing else."""

    __slots__ = ("_root", "id")

    def __init__(self, secret: bytes) -> None:
        material = secret if len(secret) >= STRONG_BYTES else _stretch(secret)
        self._root = hmac.digest(_EXTRACT_SALT, material, "sha256")  # HKDF-Extract (RFC 5869 section 2.2)
        #: Four bytes that name the key *material*: two applications with one secret have the same.
        self.id = self.derive(b"coatcheck/v1 key id", KEY_ID_BYTES)

    def derive(self, info: bytes, length: int = 32) -> bytes:
        """Return ``length`` bytes for the one use that ``info`` names; they tell nothing about any other use."""
        return HKDFExpand(hashes.SHA256(), length, info).derive(self._root)

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"


class Keyring:
    """The secret keys of an application.

    :param secrets: newest first, each a str or bytes. One that is there twice counts once.
    :raises ConfigurationError: if there is no secret, an empty one, or a plain string where a list belongs.
    """

    def __init__(self, secrets: Sequence[str | bytes]) -> None:
        if isinstance(secrets, str | bytes):
            raise ConfigurationError("the secret keys are one plain string; write a list, newest first: [secret]")
        unique = dict.fromkeys(_as_bytes(secret) for secret in secrets)
        if not unique:
            raise ConfigurationError("there is no secret key; set SECRET_KEY")
        if len(unique) > 1 and any(len(secret) == 1 for secret in unique):
            raise ConfigurationError(
                "one of the secret keys is a single character, as if a plain string had been taken for a list;"
                ' write SECRET_KEY_FALLBACKS = ["the old key"], with the brackets'
            )
        #: Newest first: the first one seals, all of them open.
        self.keys = tuple(Key(secret) for secret in unique)
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ConfigurationError(f"two different secret keys have one key id ({self!r}); replace one of them")

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(key.id.hex() for key in self.keys)}>"


def _as_bytes(secret: str | bytes) -> bytes:
    if not isinstance(secret, str | bytes):
        raise ConfigurationError(f"a secret key is a str or bytes; this one has the type {type(secret).__name__}")
    if not secret:
        raise ConfigurationError("a secret key is empty; leave it out, or write the key")
    try:
        return secret if isinstance(secret, bytes) else secret.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a secret key is not valid text; write it as bytes") from None


@functools.lru_cache(maxsize=8)  # an application is made many times in a test suite, and asks each time
def _stretch(secret: bytes) -> bytes:
    """Make it dear to try all short secrets: each guess costs 16 MiB and some 50 ms (RFC 7914 section 2)."""
    return Scrypt(salt=_STRETCH_SALT, length=32, n=2**14, r=8, p=1).derive(secret)


def weakness(secret: str | bytes) -> str | None:
    """Return what is wrong with ``secret``, to follow the words "the secret key", or ``None`` if nothing is.

    It never quotes the secret.
    """
    raw = _as_bytes(secret)
    if raw in _PUBLISHED or re.sub(rb"[^a-z0-9]", b"", raw.lower()) in _PLACEHOLDERS:
        return "is a well-known example, which is what an attacker tries first"
    if len(set(raw)) == 1:
        return "is one character, repeated"
    if len(raw) < STRONG_BYTES:
        return f"has only {len(raw)} bytes, and {STRONG_BYTES} are needed"
    return None


# What people write where a secret belongs, in lower case and without punctuation.
_PLACEHOLDERS = frozenset(
    b"""
    test testing testkey testsecret testsecretkey dev devkey devsecret devsecretkey development developmentkey
    secret secretkey secrets secretstring mysecret mysecretkey thesecretkey yoursecretkey yoursecretkeyhere
    yourverysecretkey supersecret supersecretkey verysecret verysecretkey verysecretsecretkey topsecret topsecretkey
    appsecret appsecretkey flasksecret flasksecretkey somesecret somesecretkey arandomsecretkey randomsecretkey
    averysecretkey averylongsecretkey asecretkey anysecretkey badsecretkey insecure insecuresecretkey notasecret
    thisissecret thisisasecret thisisasecretkey thisismysecretkey keepitsecret keepitsecretkeepitsafe s3cr3t
    key mykey yourkey password mypassword changeme changethis changethiskey changethissecret changethissecretkey
    replaceme replacethis pleasechangeme pleasechangethis example examplekey examplesecretkey default
    defaultsecretkey temporarykey qwerty 123456 12345678 123456789 1234567890 foobar
    hardtoguessstring hardtoguesskey youwillneverguess whywoulditellyoumysecretkey
    thisisasecret1234 changemetoacomplexrandomsecret
    """.split()
)

# Keys that documentation and projects have published: of Flask's documentation (configuration, quickstart, and
# quickstart before 1.0), of a Flask video course followed by millions, of Redash (CVE-2021-41192) and of
# Apache Superset (CVE-2023-27524).
_PUBLISHED = frozenset(
    {
        b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        b'_5#y2L"F4Q8z\n\xec]/',
        b"A0Zr98j/3yX R~XHH!jmN]LWX/,?RT",
        b"5791628bb0b13ce0c676dfde280ba245",
        b"c292a0a3aa32397cdb050e233733900f",
        b"\x02\x01thisismyscretkey\x01\x02\\e\\y\\y\\h",
    }
)
