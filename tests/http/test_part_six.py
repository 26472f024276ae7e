"""The tutorial Flask教程(六)Cookie和Session, through real HTTP: its pages; what its cookie and its file give away."""

from __future__ import annotations

import re
import zlib
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from model_browser import Browser

FILE = "part_six/run.py"


@pytest.fixture
def app(tutorial: Callable[[str], Flask]) -> Flask:
    return tutorial(FILE)


def unpacked(cookie: str) -> bytes:
    """A cookie's value and all that its parts are without a key: base64, and what that holds compressed."""
    found = cookie.encode()
    for part in re.split(r"[^\w-]+", cookie):
        try:
            found += b"\n" + (raw := urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            found += b"\n" + zlib.decompress(raw)
        except (Error, zlib.error):
            continue
    return found


def test_the_cookie_page(browser: Browser) -> None:
    """/cookie leaves a cookie name=waws, which a script may read."""
    assert browser.get("/cookie").text == "<html><body>Cookie</body></html>"
    assert browser.document_cookie() == "name=waws"


def test_the_link_leads_to_the_value(browser: Browser) -> None:
    """/session keeps the value, and its link leads to the page that shows it."""
    page = browser.get("/session")
    (link,) = re.findall("href='(.*?)'", page.text)
    assert "<p>Session value: <b> waws </b> </p>" in browser.get(link).text


def test_without_a_session_there_is_no_error(browser: Browser) -> None:
    """Who comes to /getValue first is sent to /session, and then has a value to see."""
    page = browser.get("/getValue")
    assert (page.status, page.url) == (200, "http://127.0.0.1/session")
    assert "waws" in browser.get("/getValue").text


def test_the_cookie_tells_nothing_of_the_session(app: Flask, browser: Browser) -> None:
    """Flask's own cookie can be read without the key, as the first line shows; ours holds no key and no value."""
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    assert b"waws" in unpacked(str(serializer.dumps({"name": "waws"})))
    browser.get("/session")
    cookie = browser.cookie("session")
    assert cookie is not None
    assert cookie.http_only
    assert b"waws" not in unpacked(cookie.value)
    assert b"name" not in unpacked(cookie.value)


def test_the_file_tells_nothing_of_the_session(app: Flask, browser: Browser) -> None:
    """What lies in the instance folder has neither the value nor the token in it."""
    browser.get("/session")
    cookie = browser.cookie("session")
    assert cookie is not None
    files = [file.read_bytes() for file in Path(app.instance_path).iterdir()]
    assert any(files)
    for content in files:
        assert b"waws" not in content
        assert cookie.value.encode() not in content


def test_a_session_survives_a_restart(
    tutorial: Callable[[str], Flask], serve: Callable[..., int], browser: Browser
) -> None:
    """With a key that stays, a new process on the same file knows its visitors."""
    browser.get("/session")
    browser.port = serve(tutorial(FILE))
    assert "waws" in browser.get("/getValue").text
