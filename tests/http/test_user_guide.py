"""The tutorial flask使用操作指南之session/cookie, through real HTTP: the cookie and the login form."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from model_browser import Browser

from coatcheck.flask import Session
from coatcheck.testing import Clock


@pytest.fixture
def app(tutorial: Callable[[str], Flask]) -> Flask:
    return tutorial("user_guide/app.py")


def test_a_cookie_is_set_and_deleted(browser: Browser, clock: Clock) -> None:
    """Without an end a cookie lasts as long as the browser, with max_age for 60 seconds; it is deleted by its name."""
    browser.get("/setcookie/")
    assert browser.document_cookie() == "name=cocoococo"
    browser.get("/delcookie/")
    assert browser.document_cookie() == ""
    browser.get("/setcookie/max_age/")
    browser.close()
    clock.advance(59)
    assert browser.document_cookie() == "name=cocoococo"
    clock.advance(1)
    assert browser.document_cookie() == ""


@pytest.mark.parametrize("name", ["coco", "王海飞"])
def test_the_form_greets_who_logged_in(new_browser: Callable[[], Browser], name: str) -> None:
    """POST keeps the name and redirects to the page, which greets by it from then on; nobody else is greeted so."""
    browser = new_browser()
    assert "欢迎:None" in browser.get("/login/").text
    page = browser.post("/login/", {"username": name})
    assert page.redirected_from is not None
    assert page.redirected_from.status == 302
    assert f"欢迎:{name}" in page.text
    assert f"欢迎:{name}" in browser.get("/login/").text
    assert "欢迎:None" in new_browser().get("/login/").text


def test_looking_at_the_form_makes_no_session(browser: Browser) -> None:
    """A visitor who only looks gets no cookie."""
    assert browser.get("/login/").set_cookies == []


def test_a_name_is_text_on_the_page(browser: Browser) -> None:
    """A name that is a script comes back escaped."""
    page = browser.post("/login/", {"username": "<script>"})
    assert "欢迎:&lt;script&gt;" in page.text


def test_a_login_changes_the_token(browser: Browser) -> None:
    """Another name in ``username`` is another login: the cookie is a new one, and the old one is worth nothing."""
    browser.post("/login/", {"username": "coco"})
    thief = browser.thief()
    before = browser.cookie("session")
    browser.post("/login/", {"username": "王海飞"})
    after = browser.cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert "欢迎:王海飞" in browser.get("/login/").text
    assert "欢迎:None" in thief.get("/login/").text


def test_initialised_twice_is_initialised_once(app: Flask, browser: Browser) -> None:
    """Both ways in one create_app leave one session cookie; and once more on the running app leaves all as it is."""
    page = browser.post("/login/", {"username": "coco"}).redirected_from
    assert page is not None
    assert len(page.set_cookies) == 1
    manager = app.extensions["coatcheck"]
    Session(app=app)
    assert app.extensions["coatcheck"] is manager
    assert "欢迎:coco" in browser.get("/login/").text


def test_the_prefix_is_that_of_the_keys_in_the_store(app: Flask, browser: Browser) -> None:
    """SESSION_KEY_PREFIX = 'flask' is in front of every key in the file, as the tutorial shows it for Redis."""
    browser.post("/login/", {"username": "coco"})
    with closing(sqlite3.connect(Path(app.instance_path, "sessions.db"))) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM coatcheck_sessions")]
    assert len(keys) == 1
    assert keys[0].startswith(b"flask")
