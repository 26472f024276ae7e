"""The session token: random, with one spelling, and never to be seen outside its cookie."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
import secrets
import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coatcheck.tokens import SessionToken, parse_cookie_value

BASE64URL = string.ascii_letters + string.digits + "-_"

token_bytes = st.binary(min_size=32, max_size=32)
seconds = st.integers(0, 99_999_999_999)
refreshes = st.just((None, None)) | st.tuples(seconds, st.none() | seconds)


@given(token_bytes, refreshes)
@example(bytes(32), (0, None))
def test_a_cookie_value_is_read_as_it_was_written(secret: bytes, refresh: tuple[int | None, int | None]) -> None:
    """What one request puts into a cookie, the next finds: the token, its last refresh and a lifetime of its own."""
    parsed = parse_cookie_value(SessionToken(secret).cookie_value(*refresh))
    assert parsed is not None
    assert (parsed.token.secret, parsed.refreshed_at, parsed.lifetime) == (secret, *refresh)


def test_the_cookie_value_is_base64url() -> None:
    """32 bytes are 43 characters of base64url without padding: no character that a cookie would have to quote."""
    secret = bytes(range(224, 256))
    value = SessionToken(secret).cookie_value()
    assert value == urlsafe_b64encode(secret).decode().rstrip("=")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", value)
    assert SessionToken(secret).cookie_value(1_700_000_000.9) == f"{value}.1700000000"
    assert SessionToken(secret).cookie_value(1_700_000_000.9, 3600) == f"{value}.1700000000.3600"


almost = st.text(BASE64URL, min_size=42, max_size=44)


@given(st.text() | almost | st.tuples(almost, st.text("0123456789.-+ _٣", max_size=12)).map(".".join))
@example("A" * 43 + ".007")
@example("A" * 43 + ".7.007")
@example("A" * 43 + "." + "9" * 11)
@example("A" * 43 + "\n")
@example("A" * 42 + "B")
def test_a_token_has_one_spelling(value: str) -> None:
    """None for anything that we did not write, to the last bit: what is read would be written just so."""
    parsed = parse_cookie_value(value)
    if parsed is not None:
        assert parsed.token.cookie_value(parsed.refreshed_at, parsed.lifetime) == value


@given(token_bytes, st.data())
def test_every_other_last_character_is_refused(secret: bytes, data: st.DataObject) -> None:
    """The last character carries four bits: of the 64 characters, 48 would be a second spelling, and are refused."""
    start = SessionToken(secret).cookie_value()[:42]
    accepted = [last for last in BASE64URL if parse_cookie_value(start + last) is not None]
    assert len(accepted) == 16
    first, other = data.draw(st.tuples(st.sampled_from(accepted), st.sampled_from(accepted)))
    one, two = (parse_cookie_value(start + last) for last in (first, other))
    assert one is not None
    assert two is not None
    assert (first == other) == (one.token.secret == two.token.secret)


@pytest.mark.parametrize(
    "value",
    ["", ".", "A" * 42, "A" * 44, "A" * 43 + "=", "A" * 42 + "+", "A" * 42 + "/", "A" * 43 + ".", "A" * 43 + ".1.",
     "A" * 43 + ".1.2.3", "A" * 43 + "..1", "A" * 43 + ".-1",
     "A" * 43 + ".1e3", "A" * 43 + ". 1", "A" * 43 + ".٣", "A" * 43 + ".123456789012",
     "A" * 42 + "\uff21", "A" * 43 + " ", '"' + "A" * 43 + '"', "\0" * 43, "../" * 14 + "A", "A" * 100_000],
)  # fmt: skip
def test_what_is_no_token(value: str) -> None:
    """Malformed, oversized or in another script: not a token, and never an exception (law 7)."""
    assert parse_cookie_value(value) is None


def test_tokens_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is 32 bytes of the operating system's random generator, by ``secrets`` (ASVS 5.0 7.2.3)."""
    asked: list[int] = []

    def token_bytes(number: int) -> bytes:
        asked.append(number)
        return b"\x07" * number

    monkeypatch.setattr(secrets, "token_bytes", token_bytes)
    assert SessionToken.new().secret == b"\x07" * 32
    assert asked == [32]


def test_tokens_are_unique() -> None:
    """No token is made twice (ASVS 5.0 7.2.2)."""
    assert len({SessionToken.new().secret for _ in range(10_000)}) == 10_000


@given(token_bytes, st.text(min_size=1, max_size=20))
def test_the_store_key_is_a_hash(secret: bytes, application: str) -> None:
    """The store key is SHA-256 of application name and token: it tells nothing of the token."""
    name = application.encode()
    expected = hashlib.sha256(len(name).to_bytes(2, "big") + name + secret).digest()
    assert SessionToken(secret).store_key(application) == expected


def test_the_store_key_is_frozen() -> None:
    """A store key that changed between two versions would log everybody out."""
    key = SessionToken(bytes(range(32))).store_key("default")
    assert key.hex() == "7dd26f48e2bd6f3eb5450bdf09b99c4c17488113dafc5ed1e4d01bae86b9b97d"


def test_names_and_tokens_keep_apart() -> None:
    """An application's name never runs into the token: its length stands before it."""
    assert SessionToken(b"b" + bytes(31)).store_key("a") != SessionToken(bytes(32)).store_key("ab")


def test_the_secret_keys_have_no_part_in_it() -> None:
    """No secret key is in a store key, so changing SECRET_KEY moves nothing: application and token are all it takes."""
    assert SessionToken(bytes(32)).store_key("shop") == SessionToken(bytes(32)).store_key("shop")


def test_a_token_does_not_show_itself() -> None:
    """The repr is masked, in a container and a traceback too; nothing turns a token into text by accident."""
    token = SessionToken.new()
    for text in (repr(token), str(token), f"{token}", repr([token])):
        assert token.cookie_value() not in text
        assert repr(token.secret) not in text
        assert token.secret.hex() not in text


def test_a_token_is_never_serialized() -> None:
    """A token travels in its cookie alone: it cannot be pickled, copied along or put into JSON."""
    for serialize in (pickle.dumps, copy.deepcopy, copy.copy, json.dumps):
        with pytest.raises(TypeError):
            serialize(SessionToken.new())


def test_two_tokens_are_never_compared() -> None:
    """Two objects of one token are not equal: a lookup by store key is the only comparison there is."""
    assert SessionToken(bytes(32)) != SessionToken(bytes(32))
