"""Law 7: a token that is not exactly the one we gave is nobody's."""

from __future__ import annotations

import base64
import secrets
import string
from itertools import chain

import pytest

from .damage import bit_flips, cuts, extensions
from .site import Site

URLSAFE = string.ascii_letters + string.digits + "-_"

# What is around a value and no part of it: the next pair, and white space (RFC 6265bis §5.6.6).
AROUND = b"; \t"


def test_every_bit_flip_truncation_and_extension_of_a_token_is_refused(site: Site) -> None:
    """Tampered, the answer is a fresh empty session: the very same answer as to an unknown token, and no exception."""
    cookie = site.send("/write/x")
    unknown = site.visit("/", f"session={secrets.token_urlsafe(32)}".encode())
    assert unknown.get_json() == {}
    damaged = chain(bit_flips(cookie.encode()), cuts(cookie.encode()), extensions(cookie.encode()))
    for value in damaged:
        if value.strip(AROUND) != cookie.encode():
            answer = site.visit("/", b"session=" + value)
            assert answer.status == unknown.status, value
            assert (answer.headers, answer.data) == (unknown.headers, unknown.data), value
    assert site.read(cookie) == {"value": "x"}


def test_a_token_has_one_spelling(site: Site) -> None:
    """Base64 that decodes to the same 32 bytes is refused: padding, + and /, white space, other last characters."""
    cookie = site.send("/write/x")
    while not {"-", "_"} <= set(cookie):
        cookie = site.send("/write/x")
    same_bytes = [cookie[:-1] + last for last in URLSAFE if decoded(cookie[:-1] + last) == decoded(cookie)]
    assert len(same_bytes) == 4
    same_bytes.remove(cookie)
    same_bytes += [cookie + "=", cookie + "==", cookie.replace("-", "+"), cookie.replace("_", "/")]
    same_bytes += [f'"{cookie}"', f"{cookie[:9]} {cookie[9:]}", cookie.replace("-", "%2D"), f"{cookie}."]
    for value in same_bytes:
        assert site.read(value) == {}
    assert site.read(cookie) == {"value": "x"}


def test_an_invented_token_is_never_looked_up(site: Site) -> None:
    """Malformed and oversized: what cannot be a token of ours costs no store command, and reading creates nothing."""
    for value in ["", "admin", "null", "0", "A" * 42, "A" * 44, "A" * 10_000, "../../etc/passwd", "é" * 43]:
        answer = site.visit("/", f"session={value}".encode())
        assert (answer.get_json(), "Set-Cookie" in answer.headers, site.watched.calls) == ({}, False, [])


@pytest.mark.parametrize("path", ["/write/x", "/login/ann", "/rotate", "/logout"])
def test_an_unknown_token_is_never_adopted(site: Site, path: str) -> None:
    """Unknown, but well-formed: a read sets no cookie and creates nothing; a write makes a session with a new token."""
    planted = secrets.token_urlsafe(32)
    header = f"session={planted}".encode()
    assert "Set-Cookie" not in site.visit("/", header).headers
    after = site.send(path, planted)
    assert site.store.read(site.key(planted), site.clock()) is None
    if path in ("/write/x", "/login/ann"):
        assert after != planted
        assert site.watched.calls == ["read", "read", "create"]
        assert site.read(planted) == {}
    else:
        assert after == planted  # nothing was sent: an unknown cookie is never deleted, there was nothing to end
        assert set(site.watched.calls) == {"read"}


def test_a_planted_token_stays_anonymous_after_a_login(site: Site) -> None:
    """Law 9: the token an attacker planted before the login is worthless after it (session fixation)."""
    planted = site.send("/write/cart")
    victim = site.send("/login/ann", planted)
    assert site.read(victim) == {"value": "cart"}
    assert site.read(planted) == {}
    assert site.visit("/user", f"session={planted}".encode()).get_json() == {"user": None, "handle": None}


def test_a_token_of_another_application_is_refused(site: Site) -> None:
    """Taken from another app: one on the same store with the same secret key does not know the token."""
    other = Site(site.store, application="other")
    cookie = other.send("/write/x")
    assert site.read(cookie) == {}
    assert other.read(cookie) == {"value": "x"}


def decoded(cookie: str) -> bytes:
    return base64.urlsafe_b64decode(cookie + "=")
