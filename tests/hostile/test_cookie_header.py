"""Law 7: any bytes at all as a Cookie header never raise, never adopt, and never take long."""

from __future__ import annotations

import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coatcheck.stores import MemoryStore

from .site import Site, value_of

# What real and false cookies of ours are made of, so that random headers come near to what is accepted.
PIECES = [
    b"session", b"session=", b"=", b";", b"; ", b",", b" ", b"\t", b'"', b"\\", b'\\"', b"\\073", b"%3B", b"$Version=1",
    b"\r\n", b"\0", b"\x7f", b"\xff", b"\xc3\xa9", b".", b".0", b".99999999999", b"A" * 42, b"A" * 43,
    b"__Host-session=",
]  # fmt: skip
TOKENS = st.binary(min_size=32, max_size=32).map(lambda secret: urlsafe_b64encode(secret).rstrip(b"="))
NEARLY_OURS = st.lists(st.sampled_from(PIECES) | TOKENS, max_size=30).map(b"".join)
HEADERS = st.binary(max_size=300) | st.text(max_size=200).map(str.encode) | NEARLY_OURS

TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}")


@settings(max_examples=500)
@given(HEADERS)
@example(b"session=" * 8192)
@example(b"session=x;" * 10_000)
@example(b'session="' + b"\\" * 65_000 + b'"')
@example(b"session=" + b"A" * 43 + b"; " + b"a=b; " * 10_000)
def test_any_bytes_as_a_cookie_header_never_raise_and_never_adopt(header: bytes) -> None:
    """A read creates no record and sets no cookie, and a write gets a token that nobody sent, with no exception."""
    site = Site(MemoryStore())
    answer = site.visit("/", header)
    assert (answer.status_code, answer.get_json(), "Set-Cookie" in answer.headers) == (200, {}, False)
    assert site.watched.calls in ([], ["read"], ["read"] * 2, ["read"] * 3)  # at most three candidates are looked up
    written = site.visit("/write/x", header)
    assert written.status_code == 200
    assert site.watched.calls.count("create") == 1
    assert value_of(written.headers["Set-Cookie"]).encode() not in header
    for planted in TOKEN.findall(header):
        assert site.read(planted.decode()) == {}


@settings(max_examples=500)
@given(HEADERS, HEADERS)
def test_what_stands_around_our_cookie_never_changes_whose_session_it_is(before: bytes, after: bytes) -> None:
    """The answer is the visitor's own session or a fresh empty one, never an exception and never anybody else's."""
    site = Site(MemoryStore())
    site.send("/write/theirs")
    own = site.send("/write/own").encode()
    answer = site.visit("/", before + b"; session=" + own + b"; " + after)
    assert answer.status_code == 200
    assert answer.get_json() in ({"value": "own"}, {})
    assert "Set-Cookie" not in answer.headers
    assert site.read(own.decode()) == {"value": "own"}


def test_of_a_thousand_well_formed_tokens_three_are_looked_up(site: Site) -> None:
    """Bounded work: at most three different well-formed candidates are looked up."""
    site.visit("/", b"; ".join(b"session=" + secrets.token_urlsafe(32).encode() for _ in range(1000)))
    assert site.watched.calls == ["read"] * 3


def test_a_header_of_64_kib_is_read_and_a_longer_one_is_not(site: Site) -> None:
    """Oversized, the answer is a fresh empty session; up to there our cookie is found behind any number of others."""
    ours = f"session={site.send('/write/x')}".encode()
    room = 65_536 - len(ours)
    assert site.visit("/", (b"a=b;" * 65_536)[-room:] + ours).get_json() == {"value": "x"}
    assert site.visit("/", (b"a=b;" * 65_536)[-room - 1 :] + ours).get_json() == {}


@pytest.mark.parametrize(
    "pattern",
    [b"a=b;", b"session=x;", b"session;", b"session=", b"=", b";", b'"', b"\\", b'\\"', b"\\073", b" ", b"\t;", b"A",
     b"session=" + b"A" * 43 + b";", b"session=" + b"A" * 42 + b"!;"],
)  # fmt: skip
def test_the_cost_of_a_header_grows_no_faster_than_its_length(pattern: bytes) -> None:
    """In bounded time: sixteen times the header costs at most 48 times the work, where quadratic would be 256.

    Other parsers took quadratic time for quotes and backslashes (CVE-2024-7592). What is measured is this thread's own
    time on the processor, the least of some tries, so that other programs do not count.
    """
    site = Site(MemoryStore())
    long = b"session=" + pattern * (65_000 // len(pattern))
    assert cost(lambda: site.visit("/", long)) < 48 * cost(lambda: site.visit("/", long[: len(long) // 16]))


def cost(act: Callable[[], object]) -> int:
    """Return the nanoseconds of processor time that ``act`` takes this thread, at its fastest."""
    tries = []
    for _ in range(5):
        start = time.thread_time_ns()
        act()
        tries.append(time.thread_time_ns() - start)
    return min(tries)
