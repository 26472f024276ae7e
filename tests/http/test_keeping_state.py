"""The tutorial 状态保持, through real HTTP: a cookie of 20 seconds, a session of 10, each parameter of set_cookie."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from model_browser import Browser

from coatcheck.testing import Clock

SHOWN = "ImmutableMultiDict([(&#39;test1&#39;, &#39;123&#39;)])"


@pytest.fixture
def app(tutorial: Callable[[str], Flask]) -> Flask:
    return tutorial("keeping_state/app.py")


def test_a_cookie_lives_for_20_seconds(browser: Browser, clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """The cookie is shown, and printed, until 20 seconds have gone by."""
    assert browser.get("/cookie/set").text == "<h1>set cookie!</h1>"
    clock.advance(19)
    assert browser.get("/cookie/get").text == SHOWN
    clock.advance(1)
    assert browser.get("/cookie/get").text == "ImmutableMultiDict([])"
    assert capfd.readouterr().out == "123\nNone\n"


def test_a_cookie_is_deleted(browser: Browser) -> None:
    """delete_cookie removes it before its time."""
    browser.get("/cookie/set")
    assert browser.get("/cookie/del").text == "<h1>del cookie!</h1>"
    assert browser.get("/cookie/get").text == "ImmutableMultiDict([])"


def test_the_page_that_shows_the_cookies_gives_nothing_away(browser: Browser) -> None:
    """The session token is not on it, and a cookie that holds a script is text."""
    browser.get("/cookie/set")
    browser.get("/session/set")
    assert browser.cookie("session") is not None
    assert browser.get("/cookie/get").text == SHOWN
    browser.receive("test1=<script>", browser.url)
    assert "<script>" not in browser.get("/cookie/get").text


def test_the_parameters_max_age_and_expires(browser: Browser, clock: Clock) -> None:
    """Both end their cookie after 20 seconds (Expires in whole seconds) and outlive the browser till then."""
    browser.get("/cookie/parameters")
    browser.close()
    clock.advance(15)
    assert browser.document_cookie() == "max_age=123; expires=123"
    clock.advance(10)
    assert browser.document_cookie() == ""


def test_the_parameters_path_and_domain(browser: Browser) -> None:
    """The one keeps a cookie to a path and what is below it, the other opens it to the names below a domain."""
    browser.get("http://www.example.com/cookie/parameters")
    assert "path=123" in browser.cookie_header("http://www.example.com/cookie/get")
    assert "path=123" not in browser.cookie_header("http://www.example.com/session/get")
    assert browser.cookie_header("http://shop.example.com/cookie/get") == "domain=123"
    browser.get("http://www.example.com/cookie/parameters/del")
    assert browser.cookie("path") is None
    assert browser.cookie("domain") is None


def test_the_parameter_secure(app: Flask, browser: Browser, serve: Callable[..., int], clock: Clock) -> None:
    """A Secure cookie is taken and sent by https, and neither by http."""
    browser.get("/cookie/parameters")
    assert "secure: Secure, and did not come by https" in browser.refused
    browser = Browser(serve(app, tls=True), clock)
    browser.get("https://127.0.0.1/cookie/parameters")
    assert "&#39;secure&#39;, &#39;123&#39;" in browser.get("/cookie/get").text
    assert "secure=123" not in browser.cookie_header("http://127.0.0.1/cookie/get")


def test_the_parameters_httponly_and_samesite(browser: Browser) -> None:
    """The one hides a cookie from scripts, the other keeps it from requests that another site begins."""
    browser.get("/cookie/parameters")
    assert "httponly" not in browser.document_cookie()
    assert "httponly" in browser.get("/cookie/get").text
    assert "samesite" in browser.get("/cookie/get").text
    assert "samesite" not in browser.get("/cookie/get", cross_site=True).text


def test_a_session_lives_for_10_seconds(browser: Browser, clock: Clock) -> None:
    """The lifetime that the view sets last counts, from the last use on, whatever the browser still sends."""
    assert browser.get("/session/set").text == "<h1> set session </h1>"
    for _ in range(2):
        clock.advance(9)
        assert browser.get("/session/get").text == "234"
    clock.advance(10)
    assert browser.cookie("session") is not None
    assert browser.get("/session/get").text == "None"


def test_a_session_that_is_not_permanent_ends_with_the_browser(browser: Browser) -> None:
    """session.permanent = False: closing the browser ends it, before any time is up."""
    browser.get("/session/set")
    browser.close()
    assert browser.get("/session/get").text == "None"


def test_a_permanent_session_lives_for_20_seconds(browser: Browser, clock: Clock) -> None:
    """The configured lifetime counts, closing the browser does not, and reading begins it anew."""
    browser.get("/session/permanent")
    for _ in range(2):
        browser.close()
        clock.advance(19)
        assert browser.get("/session/get").text == "234"
    thief = browser.thief()
    clock.advance(20)
    assert browser.get("/session/get").text == "None"
    assert thief.get("/session/get").text == "None"


def test_a_lifetime_that_a_view_changes_counts_for_everybody(new_browser: Callable[[], Browser], clock: Clock) -> None:
    """After one visitor was at /session/set, the next commit of another's session gives it 10 seconds, not 20."""
    one, other = new_browser(), new_browser()
    one.get("/session/set")
    other.get("/session/permanent")
    thief = other.thief()
    clock.advance(10)
    assert thief.get("/session/get").text == "None"


def test_a_session_is_deleted(browser: Browser) -> None:
    """pop and clear end it in the browser and on the server; a second time they find nothing, and it is no error."""
    browser.get("/session/set")
    thief = browser.thief()
    assert browser.get("/session/del").text == "<h1> del session </h1>"
    assert browser.cookie("session") is None
    assert thief.get("/session/get").text == "None"
    again = browser.get("/session/del")
    assert (again.status, again.set_cookies) == (200, [])
