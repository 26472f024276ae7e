"""Cookies: the header that comes in, taken as it is, and the header that goes out, by the letter of RFC 6265bis."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coatcheck.cookies import SetCookie, cookie_values
from coatcheck.errors import ConfigurationError
from coatcheck.tokens import SessionToken
from tests.http.model_browser import Browser, parse

NOW = 1_700_000_000.0

# Reading


@pytest.mark.parametrize(
    ("header", "values"),
    [
        # The table of cookie headers on which the frameworks' parsers disagree.
        ("__Host-a=good; __Host-a=evil", ["good", "evil"]),
        ("=__Host-a=bad; b=1", []),
        ("__Host-a; b=1", []),
        ("%5f%5fHost-a=evil", []),
        ("b=1; %5F_Host-a=evil; __Host-a=good", ["good"]),
        ('__Host-a="x\\073y"', ['"x\\073y"']),
        ("a=1; bad[x]=2; __Host-a=3", ["3"]),
        # Names that other parsers have taken for a prefixed one.
        ("..Host-a=evil; __Host[a=evil; __host-a=evil; __Host-A=evil", []),
        ("__host-a=evil; __Host-a=good; __HOST-A=evil", ["good"]),
        ("x__Host-a=evil; __Host-ab=evil; __Host-=evil", []),
        ("\x00__Host-a=evil; __Host-a\x00=evil; __Host-a\xa0=evil; \xa0__Host-a=evil", []),
        ("__Host-a\n=evil; \v__Host-a=evil", []),
        # Values stay as they are, whatever is in them.
        ("__Host-a=", [""]),
        ("__Host-a==b=", ["=b="]),
        ("__Host-a=%41+%3B", ["%41+%3B"]),
        ("__Host-a=a b", ["a b"]),
        ("__Host-a=a,b", ["a,b"]),
        # Spaces and tabs around a pair belong to the header, nothing else does.
        ("b=1;__Host-a=1;  __Host-a = 2 ;\t__Host-a\t=\t3", ["1", "2", "3"]),
        (";;; ;__Host-a=1;", ["1"]),
        ("", []),
    ],
)
def test_reading(header: str, values: list[str]) -> None:
    """Exact names, every duplicate in its order, no unquoting, no percent-decoding."""
    assert cookie_values(header, "__Host-a") == values


names = st.text("abA_-!~", min_size=1, max_size=3)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters=";=\x85\xa0"), max_size=5)


@given(st.lists(st.tuples(names, texts)), names, st.sampled_from(["; ", ";", " ;\t"]))
def test_what_is_sent_is_read(pairs: list[tuple[str, str]], name: str, separator: str) -> None:
    """Of any cookies, those of the name are read, all of them, in the order sent."""
    header = separator.join(f"{key}={value}" for key, value in pairs)
    assert cookie_values(header, name) == [value for key, value in pairs if key == name]


@given(st.text(), names)
def test_any_header_is_read(header: str, name: str) -> None:
    """Whatever a visitor sends, the answer is a list of parts of it, and never an exception (law 7)."""
    assert all(value in header for value in cookie_values(header, name))


@pytest.mark.parametrize("header", ["a=1;" * 20_000, "a=" + "x" * 65_537, "a" * 70_000])
def test_a_header_that_is_too_long_is_not_read(header: str) -> None:
    """The time a header takes is bounded: one longer than 65,536 characters is as if it held nothing of ours."""
    assert cookie_values(header, "a") == []


def test_a_header_up_to_the_limit_is_read() -> None:
    """… 65,536 characters are still read, every pair of them."""
    header = ("a=1; " * 13_108)[:65_536]
    assert len(cookie_values(header, "a")) == 13_107


# Writing

# RFC 6265bis (approved draft -22) §4.1.1, with IMF-fixdate of RFC 9110 §5.6.7 and host names of RFC 1123 §2.1.
_DAYS, _MONTHS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun", "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_PAIR = r"(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?P<value>[\x21\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]*)"
_ATTRIBUTE = "|".join(
    [
        rf"Expires=(?:{_DAYS}), \d\d (?:{_MONTHS}) \d{{4}} \d\d:\d\d:\d\d GMT",
        r"Max-Age=\d+",
        rf"Domain={_LABEL}(?:\.{_LABEL})*",
        r"Path=/(?:[\x20-\x3A\x3C-\x7E]*[\x21-\x3A\x3C-\x7E])?",
        "Secure|HttpOnly|Partitioned",
        "SameSite=(?:Strict|Lax|None)",
    ]
)
SET_COOKIE = re.compile(rf"{_PAIR}(?:; (?:{_ATTRIBUTE}))*")

hosts = st.from_regex(rf"{_LABEL}(?:\.{_LABEL}){{0,3}}", fullmatch=True).filter(lambda host: len(host) < 64)
settings = st.fixed_dictionaries(
    {"name": st.from_regex(r"(?:__Host-|__Secure-|__Http-|__host-http-)?[!#$%&'*+\-.^_`|~0-9A-Za-z]+", fullmatch=True)},
    optional={
        "path": st.text(st.characters(min_codepoint=31, max_codepoint=127), max_size=20).map(lambda path: "/" + path),
        "domain": st.none() | hosts | hosts.map(lambda host: "." + host) | st.just("bücher.example"),
        "secure": st.booleans(),
        "httponly": st.booleans(),
        "samesite": st.sampled_from([None, "Lax", "lax", "Strict", "None"]),
        "partitioned": st.booleans(),
    },
)
max_ages = st.none() | st.floats(-10, 1e10) | st.integers(-10, 10**10)


class Parts(NamedTuple):
    """A Set-Cookie header, taken apart by the grammar and by nothing of ours."""

    name: str
    value: str
    attributes: dict[str, str]


def parts(header: str) -> Parts:
    match = SET_COOKIE.fullmatch(header)
    assert match is not None, f"not by the grammar: {header!r}"
    attributes = [part.partition("=") for part in header.split("; ")[1:]]
    names = [name for name, _, _ in attributes]
    assert len(names) == len(set(names)), "an attribute stands there twice"
    return Parts(match["name"], match["value"], {name: value for name, _, value in attributes})


def made(config: dict[str, Any]) -> SetCookie | None:
    """Return the cookie of these settings, or None if they are refused."""
    try:
        return SetCookie(**config)
    except ConfigurationError:
        return None


@given(settings, max_ages)
def test_every_header_matches_the_grammar(config: dict[str, Any], max_age: float | None) -> None:
    """Settings are refused, or make headers that match the grammar of RFC 6265bis §4.1.1, to the last character."""
    cookie = made(config)
    if cookie is not None:
        parts(cookie.header(SessionToken(bytes(32)).cookie_value(NOW), NOW, max_age))
        parts(cookie.deletion())


@given(settings, max_ages)
def test_deletion_repeats_what_the_cookie_was_set_with(config: dict[str, Any], max_age: float | None) -> None:
    """Deletion works only with the same name, Domain and Path, and for prefixes the same Secure: all are repeated."""
    cookie = made(config)
    if cookie is not None:
        was, deletion = parts(cookie.header("v", NOW, max_age)), parts(cookie.deletion())
        ends = ("Expires", "Max-Age")
        assert (deletion.name, deletion.value) == (was.name, "")
        assert [deletion.attributes[end] for end in ends] == ["Thu, 01 Jan 1970 00:00:00 GMT", "0"]
        same = [{k: v for k, v in p.attributes.items() if k not in ends} for p in (was, deletion)]
        assert same[0] == same[1]


@given(settings, st.floats(0, 4e9), max_ages)
def test_max_age_stands_beside_expires(config: dict[str, Any], now: float, max_age: float | None) -> None:
    """A cookie that outlives the browser has Max-Age, and Expires for the same second; another has neither."""
    cookie = made(config)
    if cookie is None:
        return
    attributes = parts(cookie.header("v", now, max_age)).attributes
    assert ("Max-Age" in attributes) == ("Expires" in attributes) == (max_age is not None)
    if max_age is not None:
        seconds = max(0, int(max_age))
        assert int(attributes["Max-Age"]) == seconds
        assert parsedate_to_datetime(attributes["Expires"]) == datetime.fromtimestamp(int(now) + seconds, UTC)


@given(settings)
@example({"name": "session", "path": "/a "})
def test_a_browser_keeps_every_cookie_as_it_was_meant(config: dict[str, Any]) -> None:
    """Each setting that is taken makes a cookie that a browser keeps, with the attributes that were meant, sends back,
    and forgets again at the deletion; and we read it.
    """
    cookie = made(config)
    if cookie is None:
        return
    host = "example.com" if cookie.domain is None else cookie.domain.removeprefix(".").encode("idna").decode()
    url = f"https://{host.lower()}{quote(cookie.path)}"
    browser = Browser(0, lambda: NOW)
    browser.receive(cookie.header("value", NOW, 60), url)
    assert browser.refused == []
    (kept,) = browser.jar.values()
    assert (kept.path, kept.host_only) == (cookie.path, cookie.domain is None)
    assert (kept.secure, kept.http_only) == (cookie.secure or cookie.partitioned, cookie.httponly)
    assert kept.same_site == str(cookie.samesite or "").lower()
    if quote(kept.path) == kept.path:  # else no URL has this path: there, the characters are percent-encoded
        assert cookie_values(browser.cookie_header(url), cookie.name) == ["value"]
    browser.receive(cookie.deletion(), url)
    assert browser._live() == []


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"name": ""}, "the cookie name '' is not allowed; write letters"),
        ({"name": "a b"}, "the cookie name 'a b' is not allowed"),
        ({"name": "a=b"}, "the cookie name 'a=b' is not allowed"),
        ({"name": "a\r\nSet-Cookie: b"}, "the cookie name 'a.*' is not allowed"),
        ({"name": "имя"}, "the cookie name 'имя' is not allowed"),
        ({"name": None}, "the cookie name None is not allowed"),
        ({"path": "admin"}, "the cookie path 'admin' is not allowed; write an absolute one"),
        ({"path": "/a;b"}, "the cookie path '/a;b' is not allowed"),
        ({"path": "/\r\nX: 1"}, "the cookie path '/.*' is not allowed"),
        ({"path": "/é"}, "the cookie path '/é' is not allowed"),
        ({"path": None}, "the cookie path None is not allowed"),
        ({"path": "/" + "x" * 1024}, "the cookie path"),
        ({"domain": "example.com:5000"}, "has a port, and cookies do not know ports; write 'example.com'"),
        ({"domain": ""}, "the cookie domain '' is not a host name"),
        ({"domain": "a b"}, "the cookie domain 'a b' is not a host name"),
        ({"domain": "a.example;Secure"}, "is not a host name; write one such as 'example.com', or None"),
        ({"domain": "..example.com"}, "is not a host name"),
        ({"domain": True}, "the cookie domain True is not a host name"),
        ({"samesite": "Laxx"}, "SameSite is 'Laxx'; write 'Lax', 'Strict', 'None', or None to leave it out"),
        ({"samesite": "None"}, "SameSite='None' works only with Secure.*set SESSION_COOKIE_SECURE = True"),
        ({"name": "__Host-s"}, "browsers drop the cookie '__Host-s' without Secure: set SESSION_COOKIE_SECURE = True"),
        ({"name": "__hOST-s"}, "browsers drop the cookie '__hOST-s' without Secure"),
        ({"name": "__Secure-s"}, "browsers drop the cookie '__Secure-s' without Secure"),
        ({"name": "__Host-s", "secure": True, "path": "/a"}, "with a Domain or another Path than '/'"),
        ({"name": "__Host-s", "secure": True, "domain": "a.example"}, "with a Domain or another Path than '/'"),
        ({"name": "__Http-s", "secure": True, "httponly": False}, "without HttpOnly: set SESSION_COOKIE_HTTPONLY"),
        ({"name": "__Host-Http-s", "secure": True, "httponly": False}, "without HttpOnly"),
    ],
)
def test_what_browsers_drop_is_refused(config: dict[str, Any], sentence: str) -> None:
    """A setting with which no browser would keep the cookie is an error that says what to write instead."""
    with pytest.raises(ConfigurationError, match=sentence):
        SetCookie(**({"name": "session"} | config))


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-", "__Http-", "__Host-Http-"])
def test_each_prefix_is_possible(prefix: str) -> None:
    """Each prefix works with the settings that it asks for."""
    SetCookie(prefix + "session", secure=True)


def test_partitioned_is_secure() -> None:
    """A partitioned cookie without Secure is dropped, so it has it (CHIPS); Werkzeug does the same."""
    assert {"Secure", "Partitioned"} <= parts(SetCookie("s", partitioned=True).deletion()).attributes.keys()


@pytest.mark.parametrize(("written", "sent"), [("lax", "Lax"), ("STRICT", "Strict"), ("none", "None")])
def test_samesite_in_any_case(written: str, sent: str) -> None:
    """SameSite in any case is sent as the RFC writes it."""
    assert parts(SetCookie("s", samesite=written, secure=True).deletion()).attributes["SameSite"] == sent


@pytest.mark.parametrize(
    ("domain", "sent"), [(".example.com", "example.com"), ("bücher.example", "xn--bcher-kva.example")]
)
def test_domain_is_sent_as_browsers_read_it(domain: str, sent: str) -> None:
    """A leading dot, which browsers ignore, is left out; a name in another script is sent as A-labels."""
    assert parse(SetCookie("s", domain=domain).header("v", NOW))[2]["domain"] == sent


def test_a_host_cookie_has_no_domain() -> None:
    """Without a domain the attribute is left out: the cookie goes to the host itself, and no other."""
    assert SetCookie("s").header("v", NOW) == "s=v; Path=/; HttpOnly"
