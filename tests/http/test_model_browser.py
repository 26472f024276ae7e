"""The model browser keeps the rules of RFC 6265bis (approved draft -22) that the other tests lean on."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from model_browser import Browser

from coatcheck.testing import Clock

SITE = "http://www.example.com/a/b"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def browser(clock: Clock) -> Browser:
    """A browser on its first page; no test here goes to a server."""
    browser = Browser(port=0, clock=clock)
    browser.url = SITE
    return browser


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("a=1; Max-Age=20", 20),
        ("a=1; max-age=20; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 20),
        (f"a=1; Expires={formatdate(Clock()() + 90, usegmt=True)}", 90),
        ("a=1; Max-Age=99999999", 400 * 86_400),
        ("a=1; Max-Age=1.5; Expires=never", None),
        ("a=1", None),
    ],
)
def test_a_cookie_lives_as_long_as_its_attributes_say(
    browser: Browser, clock: Clock, header: str, seconds: int | None
) -> None:
    """Max-Age counts before Expires, no life is over 400 days, and what cannot be read is as if it were not there."""
    browser.receive(header, SITE)
    if seconds is None:
        clock.advance(10_000 * 86_400)
        assert browser.cookie_header(SITE) == "a=1"
        browser.close()
    else:
        browser.close()
        clock.advance(seconds - 1)
        assert browser.cookie_header(SITE) == "a=1"
        clock.advance(1)
    assert browser.cookie_header(SITE) == ""


@pytest.mark.parametrize("ending", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_cookie_is_deleted_by_one_that_has_ended(browser: Browser, ending: str) -> None:
    """An expired cookie removes the one of the same name, domain and path, and leaves one on another path."""
    browser.receive("a=1; Path=/", SITE)
    browser.receive("a=2; Path=/a", SITE)
    browser.receive(f"a=; Path=/; {ending}", SITE)
    assert browser.cookie_header(SITE) == "a=2"


@pytest.mark.parametrize(
    ("header", "goes_to", "stays_from"),
    [
        ("a=1; Path=/", ["http://www.example.com/"], ["http://example.com/", "http://x.www.example.com/"]),
        (
            "a=1; Path=/; Domain=.Example.com",
            ["http://example.com/", "http://x.www.example.com/"],
            ["http://badexample.com/", "http://example.org/"],
        ),
        ("a=1; Path=/a", ["http://www.example.com/a", "http://www.example.com/a/c"], ["http://www.example.com/ab"]),
        ("a=1", ["http://www.example.com/a/c"], ["http://www.example.com/"]),
        ("a=1; Path=nonsense", ["http://www.example.com/a/c"], ["http://www.example.com/"]),
    ],
)
def test_a_cookie_goes_where_its_domain_and_path_say(
    browser: Browser, header: str, goes_to: list[str], stays_from: list[str]
) -> None:
    """Without Domain only the same host counts, with it those below too; a path covers itself and what is below it."""
    browser.receive(header, SITE)
    assert [browser.cookie_header(url) for url in goes_to] == ["a=1"] * len(goes_to)
    assert [browser.cookie_header(url) for url in stays_from] == [""] * len(stays_from)


def test_an_address_has_no_subdomains(browser: Browser) -> None:
    """A Domain that is the end of an IP address is refused."""
    browser.receive("a=1; Domain=0.0.1", "http://127.0.0.1/")
    assert browser.refused == ["a: Domain=0.0.1 does not cover 127.0.0.1"]


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ("a=1; Domain=example.org", SITE),
        ("a=1; Secure", SITE),
        ("a=1; SameSite=None", SITE),
        ("__Secure-a=1", "https://www.example.com/"),
        ("__host-a=1; Secure; Path=/; Domain=www.example.com", "https://www.example.com/"),
        ("__Host-a=1; Secure", "https://www.example.com/"),
        ("a=" + "x" * 4096, SITE),
        ("=", SITE),
    ],
)
def test_a_cookie_that_breaks_a_rule_is_refused(browser: Browser, header: str, url: str) -> None:
    """A foreign domain, Secure without https, SameSite=None without Secure, a broken prefix, too long or empty."""
    browser.receive(header, url)
    assert browser.jar == {}
    assert len(browser.refused) == 1


def test_a_secure_cookie_goes_by_https_only_and_is_not_replaced_by_http(browser: Browser) -> None:
    """A Secure cookie is not sent by http, and a cookie that came by http cannot take its place."""
    browser.receive("__Host-a=1; Secure; Path=/", "https://www.example.com/")
    browser.receive("__Host-a=2; Path=/", "http://www.example.com/")
    browser.receive("b=1; Secure; Path=/", "https://www.example.com/")
    browser.receive("b=2; Path=/", "http://www.example.com/")
    assert browser.cookie_header("https://www.example.com/") == "__Host-a=1; b=1"
    assert browser.cookie_header("http://www.example.com/") == ""


def test_a_script_does_not_see_httponly(browser: Browser) -> None:
    """document.cookie leaves HttpOnly cookies out; the request has them."""
    browser.receive("a=1; HttpOnly", SITE)
    browser.receive("b=2", SITE)
    assert browser.document_cookie() == "b=2"
    assert browser.cookie_header(SITE) == "a=1; b=2"


def test_same_site_decides_what_another_site_can_send(browser: Browser) -> None:
    """From another site a link brings Lax and unset cookies, a form brings neither, and Strict never comes."""
    for header in ("strict=1; SameSite=Strict", "lax=1; SameSite=Lax", "unset=1", "none=1; SameSite=None; Secure"):
        browser.receive(header, "https://www.example.com/")
    site = "https://www.example.com/"
    assert browser.cookie_header(site) == "strict=1; lax=1; unset=1; none=1"
    assert browser.cookie_header(site, cross_site=True) == "lax=1; unset=1; none=1"
    assert browser.cookie_header(site, cross_site=True, method="POST") == "none=1"


def test_cookies_are_sent_longer_path_first_then_older_first(browser: Browser) -> None:
    """A cookie that is set again keeps its age."""
    for header in ("old=1; Path=/", "new=1; Path=/", "deep=1; Path=/a", "old=2; Path=/"):
        browser.receive(header, SITE)
    assert browser.cookie_header(SITE) == "deep=1; old=2; new=1"
