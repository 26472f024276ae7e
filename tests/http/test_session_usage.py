"""The tutorial Flask之session使用, through real HTTP: every secret key it shows; a session set, read and emptied."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from flask import Flask
from model_browser import Browser

from coatcheck.testing import Clock

FILE = "session_usage/main.py"


@pytest.fixture
def app(tutorial: Callable[[str], Flask]) -> Flask:
    return tutorial(FILE)


@pytest.mark.parametrize(
    "secret",
    ["XXXXXXXXXX", "XXXXX", "why would I tell you my secret key?", os.urandom(24)],
    ids=["config.py", "short", "sentence", "os.urandom"],
)
def test_every_secret_key_of_the_tutorial_works(app: Flask, browser: Browser, secret: str | bytes) -> None:
    """Short and well-known keys, as text and as bytes, seal a session that can be read again."""
    app.secret_key = secret
    assert browser.get("/").text == "success"
    assert browser.get("/get").text == "liefyuan"


def test_both_ways_to_read_a_value(browser: Browser) -> None:
    """session['key'] and session.get('key') give the value; without a session both views show None."""
    for url in ("/get", "/get/key"):
        assert browser.get(url).text == "None"
    browser.get("/")
    for url in ("/get", "/get/key"):
        assert browser.get(url).text == "liefyuan"


@pytest.mark.parametrize("url", ["/delete/", "/clear"])
def test_a_value_is_gone_at_once_and_afterwards(browser: Browser, capfd: pytest.CaptureFixture[str], url: str) -> None:
    """pop and clear() remove the value for the rest of the view, which prints it before and after, and for good."""
    browser.get("/")
    thief = browser.thief()
    assert browser.get(url).text == "success"
    assert capfd.readouterr().out == "liefyuan\nNone\n"
    assert browser.get("/get").text == "None"
    assert thief.get("/get").text == "None"


def test_a_value_set_to_false_is_not_deleted(browser: Browser) -> None:
    """session['username'] = False keeps the key and the session."""
    browser.get("/")
    browser.get("/delete/false/")
    assert browser.get("/get").text == "False"


def test_a_random_key_forgets_everybody_at_a_restart(
    tutorial: Callable[[str], Flask], serve: Callable[..., int], browser: Browser
) -> None:
    """With os.urandom(24) an old cookie is, after a restart on the same store, one that nobody knows, and no error."""
    browser.get("/")
    browser.port = serve(tutorial(FILE))
    page = browser.get("/get")
    assert (page.status, page.text) == (200, "None")
    browser.get("/")
    assert browser.get("/get").text == "liefyuan"


def test_a_session_that_is_not_permanent_ends_after_a_day_at_the_latest(browser: Browser, clock: Clock) -> None:
    """A browser that is never closed does not keep a session alive for longer than 24 hours without use."""
    browser.get("/")
    clock.advance(23 * 3600)
    assert browser.get("/get").text == "liefyuan"
    clock.advance(24 * 3600)
    assert browser.get("/get").text == "None"
