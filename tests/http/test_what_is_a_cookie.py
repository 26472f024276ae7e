"""The tutorial 什么是cookie, through real HTTP: what it promises of cookies and of sessions is what a browser sees."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from model_browser import Browser

from coatcheck.testing import Clock


@pytest.fixture
def app(tutorial: Callable[[str], Flask]) -> Flask:
    return tutorial("what_is_a_cookie/app.py")


def test_a_cookie_is_set_read_and_gone_when_the_browser_closes(browser: Browser) -> None:
    """Without max_age and expires a cookie is there on the next request and ends with the browser."""
    assert browser.get("/").text == "知了课堂"
    assert browser.get("/get/").text == "zhiliao"
    browser.close()
    assert browser.get("/get/").text == "None"


@pytest.mark.parametrize(
    ("url", "life"),
    [
        ("/max_age/", timedelta(seconds=60)),
        ("/expires/", timedelta(days=31)),
        ("/both/", timedelta(seconds=60)),
    ],
)
def test_a_cookie_ends_when_it_should(browser: Browser, clock: Clock, url: str, life: timedelta) -> None:
    """max_age and expires outlive the browser and end in time (give or take 5 s); where both are set max_age counts."""
    browser.get(url)
    browser.close()
    clock.advance(life - timedelta(seconds=5))
    assert browser.get("/get/").text == "zhiliao"
    clock.advance(10)
    assert browser.get("/get/").text == "None"


@pytest.mark.parametrize("url", ["/delete/", "/expires/2017/"])
def test_a_cookie_is_deleted(browser: Browser, url: str) -> None:
    """delete_cookie removes the cookie, and so does a new one whose date has passed."""
    browser.get("/")
    assert browser.get(url).text == "知了课堂"
    assert browser.cookie("username") is None
    assert browser.get("/get/").text == "None"


def test_a_cookie_with_a_domain_goes_to_the_names_below_it(browser: Browser) -> None:
    """A cookie for .reidwang.com, set by one name below it, goes to the others and to nobody else."""
    browser.get("http://www.reidwang.com/domain/")
    assert browser.get("http://reidwang.com/get/").text == "zhiliao"
    assert browser.get("http://bbs.reidwang.com/get/").text == "zhiliao"
    assert browser.get("http://notreidwang.com/get/").text == "None"


def test_a_cookie_for_a_foreign_domain_is_refused(browser: Browser) -> None:
    """A browser that came to 127.0.0.1 does not take a cookie for reidwang.com."""
    browser.get("/domain/")
    assert browser.refused == ["username: Domain=reidwang.com does not cover 127.0.0.1"]


def test_a_cookie_with_a_domain_is_deleted_only_by_that_domain(browser: Browser) -> None:
    """delete_cookie without the domain leaves the cookie, with the domain it removes it."""
    browser.get("http://www.reidwang.com/domain/")
    browser.get("/delete/")
    assert browser.get("/get/").text == "zhiliao"
    browser.get("/delete/domain/")
    assert browser.get("/get/").text == "None"


def test_a_session_is_set_and_read_by_its_own_visitor_only(new_browser: Callable[[], Browser]) -> None:
    """What one visitor keeps in the session is there on the next request, and not there for another visitor."""
    one, other = new_browser(), new_browser()
    one.get("/session/set/")
    assert one.get("/session/get/").text == "zhiliao"
    assert other.get("/session/get/").text == "None"


@pytest.mark.parametrize("how", ["pop", "del", "clear"])
def test_a_session_is_deleted(browser: Browser, how: str) -> None:
    """After pop, del and clear the value is gone, the browser's cookie is gone, and a copy of it is worth nothing."""
    browser.get("/session/set/")
    thief = browser.thief()
    assert thief.get("/session/get/").text == "zhiliao"
    assert browser.get(f"/session/{how}/").text == "知了课堂"
    assert browser.cookie("session") is None
    assert browser.get("/session/get/").text == "None"
    assert thief.get("/session/get/").text == "None"


@pytest.mark.parametrize("how", ["pop", "del", "clear", "get"])
def test_a_visitor_without_a_session_gets_none(browser: Browser, how: str) -> None:
    """Reading or deleting where nothing is answers 200, and makes no session and no cookie."""
    page = browser.get(f"/session/{how}/")
    assert page.status == 200
    assert page.set_cookies == []


def test_a_session_ends_with_the_browser_unless_it_is_permanent(new_browser: Callable[[], Browser]) -> None:
    """session.permanent = True outlives the closing of the browser; without it the session is gone."""
    for url, after in (("/session/set/", "None"), ("/session/permanent/", "zhiliao")):
        browser = new_browser()
        browser.get(url)
        browser.close()
        assert browser.get("/session/get/").text == after


@pytest.mark.parametrize("lifetime", [None, timedelta(days=31)], ids=["two hours", "the default"])
def test_a_permanent_session_ends_one_lifetime_after_its_last_use(
    app: Flask, browser: Browser, clock: Clock, lifetime: timedelta | None
) -> None:
    """Two hours as configured, 31 days by Flask's default; each use begins it anew; the server keeps time itself."""
    if lifetime:
        assert lifetime == app.default_config["PERMANENT_SESSION_LIFETIME"]
        app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
    lifetime = lifetime or timedelta(hours=2)
    browser.get("/session/permanent/")
    for _ in range(2):
        clock.advance(lifetime - timedelta(seconds=5))
        assert browser.get("/session/get/").text == "zhiliao"
    thief = browser.thief()
    clock.advance(lifetime)
    assert browser.cookie("session") is None
    assert thief.get("/session/get/").text == "None"
