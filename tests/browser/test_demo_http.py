"""The demo without a browser: what it refuses and in which words, and what it keeps to itself."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from examples.demo.app import create_app


class Now:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def client(tmp_path: Path, now: Now) -> FlaskClient:
    return create_app(tmp_path, clock=now).test_client()


COOKIE = {"name": "theme", "value": "dark", "path": "/", "samesite": "Lax"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": ""}, "is not a cookie name"),
        ({"name": "two words"}, "“two words” is not a cookie name"),
        ({"name": "a=b;c"}, "is not a cookie name"),
        ({"name": "naïve"}, "is not a cookie name"),
        ({"value": "x" * 4096}, "over 4096 bytes"),
        ({"max_age": "soon"}, "“soon” is not a Max-Age"),
        ({"max_age": "99999999999999999999"}, "is not a Max-Age"),
        ({"expires": "tomorrow"}, "“tomorrow” is not a date"),
        ({"expires": "99999-01-01T00:00"}, "is not a date"),
        ({"domain": "example.com"}, "drops a cookie for “example.com”"),
        ({"domain": "a\r\nb"}, "drops a cookie"),
        ({"path": "nowhere"}, "“nowhere” is not a path"),
        ({"path": "/a; Secure"}, "is not a path"),
        ({"path": "/a\r\nSet-Cookie: b"}, "is not a path"),
        ({"samesite": "Perhaps"}, "SameSite cannot be “Perhaps”"),
        ({"samesite": "None"}, "SameSite=None needs Secure"),
        ({"partitioned": "on"}, "Partitioned needs Secure"),
        ({"name": "__Secure-a"}, "needs Secure"),
        ({"name": "__Host-a", "secure": "on", "path": "/x"}, "needs the path /"),
        ({"name": "__host-a", "secure": "on", "domain": "localhost"}, "no domain"),
    ],
)
@pytest.mark.parametrize("action", ["set", "delete"])
def test_a_cookie_that_cannot_work(client: FlaskClient, action: str, changed: dict[str, str], sentence: str) -> None:
    """A cookie that a browser would drop is refused with a sentence that says why, and what was typed stays."""
    answer = client.post(f"/cookies/{action}", data=COOKIE | changed)
    assert answer.status_code == 400
    assert sentence in answer.get_data(as_text=True)
    assert all(header.startswith("demo_visitor=") for header in answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize(
    ("path", "data", "sentence"),
    [
        ("/login", {"name": "  "}, "Write a name"),
        ("/login", {"name": "x" * 51}, "Write a name"),
        ("/session/set", {"key": "", "value": "1"}, "Write a key"),
        ("/session/set", {"key": "_permanent", "value": "1"}, "Write a key"),
        ("/session/set", {"key": "n", "type": "number", "value": "many"}, "“many” is not a number"),
        ("/session/set", {"key": "n", "type": "number", "value": "nan"}, "is not a number"),
        ("/session/set", {"key": "n", "type": "number", "value": "1e999"}, "is not a number"),
        ("/session/set", {"key": "n", "type": "number", "value": "9" * 400}, "is not a number"),
        ("/session/set", {"key": "n", "value": "x" * 501}, "501 characters"),
        ("/session/append", {"key": "nothing", "item": "x"}, "There is no list called “nothing”"),
        ("/session/delete", {}, "Write a key"),
    ],
)
def test_a_session_value_that_cannot_be(client: FlaskClient, path: str, data: dict[str, str], sentence: str) -> None:
    """What cannot be kept is refused with a sentence, and makes no session."""
    answer = client.post(path, data=data)
    assert answer.status_code == 400
    assert sentence in answer.get_data(as_text=True)
    assert client.get_cookie("session") is None


def test_a_list_and_the_session_stay_small(client: FlaskClient) -> None:
    """A visitor cannot fill the disk: the number of items in a list and of keys in a session is bounded."""
    client.post("/session/set", data={"key": "cart", "type": "list", "value": ",".join("abc" * 100)})
    assert client.post("/session/append", data={"key": "cart", "item": "x"}).status_code == 400
    answers = [client.post("/session/set", data={"key": f"k{i}", "value": ""}).status_code for i in range(25)]
    assert answers[0] == 303
    assert answers[-1] == 400
    assert client.post("/session/set", data={"key": "big", "value": "x" * 70_000}).status_code == 413


def test_whatever_is_typed_is_shown_as_text(client: FlaskClient) -> None:
    """Markup in a name, a key, a value or a cookie comes back escaped."""
    evil = "<script>alert(1)</script>"
    client.post("/login", data={"name": evil})
    client.post("/session/set", data={"key": evil, "value": evil})
    client.set_cookie("c", evil)
    page = client.get("/").get_data(as_text=True)
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


HEADERS = [";;;", "=", "=x; y", 'session; session=; a="', "session=" + "A" * 43, "demo_visitor=../../x", "a=\xff\x00"]


@pytest.mark.parametrize("header", HEADERS)
def test_any_cookie_header_is_shown(client: FlaskClient, header: str) -> None:
    """Whatever the Cookie header holds, the page comes, and nobody is logged in (law 7)."""
    client.post("/login", data={"name": "Ada"})
    answer = client.application.test_client(use_cookies=False).get("/?change=a", headers={"Cookie": header})
    assert answer.status_code == 200
    assert "Hello, whoever you are" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_forms_of_other_sites_are_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    """A POST that says it comes from another site changes nothing."""
    answer = client.post("/login", data={"name": "Ada"}, headers=headers)
    assert answer.status_code == 403
    assert "sent by another site" in answer.get_data(as_text=True)
    assert client.get_cookie("session") is None


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}])
def test_its_own_forms_are_taken(client: FlaskClient, headers: dict[str, str]) -> None:
    """A POST from the page itself goes through, and so does one that is not from a browser."""
    assert client.post("/login", data={"name": "Ada"}, headers=headers).status_code == 303


def test_looking_leaves_nothing(client: FlaskClient) -> None:
    """A visitor who only reads, a hundred times, is sent no cookie, and nothing is remembered of them (law 3)."""
    for _ in range(100):
        assert client.get("/").headers.getlist("Set-Cookie") == []
    exchanges = client.application.extensions["exchanges"]
    assert len(exchanges._visitors) == 0


def test_what_is_remembered_is_bounded(client: FlaskClient) -> None:
    """However many visitors post something, a bounded number of exchanges of a bounded number of them is kept."""
    exchanges = client.application.extensions["exchanges"]
    for _ in range(250):
        client.delete_cookie("demo_visitor")
        client.post("/rotate")
    for _ in range(50):
        client.post("/rotate")
    assert len(exchanges._visitors) == 200
    assert max(map(len, exchanges._visitors.values())) == 30


def test_no_token_is_remembered(client: FlaskClient) -> None:
    """Nothing that the demo remembers of its visitors holds a session token (law 8 holds for its memory too)."""
    client.post("/login", data={"name": "Ada", "remember": "month"})
    client.get("/")
    client.get("/")
    cookie = client.get_cookie("session")
    assert cookie is not None
    token, _, refreshed = cookie.value.partition(".")
    remembered = repr(client.application.extensions["exchanges"]._visitors)
    assert f"{token[:4]}…{token[-4:]}.{refreshed}" in remembered
    assert token[4:12] not in remembered
    assert token[-12:-4] not in remembered


def test_a_page_view_writes_nothing(client: FlaskClient) -> None:
    """Looking at the page with a session reads it, and changes neither its record nor its cookie (laws 3 and 5)."""
    client.post("/login", data={"name": "Ada"})
    versions = set()
    for _ in range(5):
        answer = client.get("/")
        assert answer.headers.getlist("Set-Cookie") == []
        versions.update(re.findall(r"<dt>version</dt><dd><code>(\d+)", answer.get_data(as_text=True)))
    assert len(versions) == 1


def test_the_end_and_its_reason(client: FlaskClient, now: Now) -> None:
    """The page says when the session will end and by which timeout, and at that second it does end."""
    client.post("/login", data={"name": "Ada"})
    page = client.get("/").get_data(as_text=True)
    assert "in 1 d" in page
    assert "the idle timeout: 1 d after your last visit" in page
    assert "the absolute timeout: 90 d after the login" in page
    now.seconds += 86_399
    assert "Hello, <span" in client.get("/").get_data(as_text=True)
    now.seconds += 86_400
    assert "Hello, whoever you are" in client.get("/").get_data(as_text=True)


def test_a_login_for_a_minute(client: FlaskClient, now: Now) -> None:
    """Remembered for a minute, a visitor who keeps coming stays, and one who stays away for a minute is nobody."""
    client.post("/login", data={"name": "Ada", "remember": "minute"})
    for _ in range(5):
        now.seconds += 50
        page = client.get("/").get_data(as_text=True)
        assert "Hello, <span" in page
        assert "in 1 min" in page  # this visit counts
    now.seconds += 61
    assert "Hello, whoever you are" in client.get("/").get_data(as_text=True)


def test_headers(client: FlaskClient) -> None:
    """No other site may frame the page or lend it a script; what a session shaped is told to caches (law 12)."""
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Cookie" in headers["Vary"]


def test_the_secret_key_is_private_and_stays(tmp_path: Path) -> None:
    """The secret key is made once, for its owner's eyes only, and a restart finds the same."""
    first = create_app(tmp_path).secret_key
    assert create_app(tmp_path).secret_key == first
    assert isinstance(first, str)
    assert len(first) == 64
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_a_port_that_is_none(port: str) -> None:
    """A PORT that is no port is one sentence, not a traceback."""
    ended = run_demo(port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"The demo did not start: PORT is {port!r}, but a port is a number from 0 to 65535, for example PORT=5001.\n"
    )


def test_a_busy_port() -> None:
    """A port that another program has is one sentence that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        ended = run_demo(str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"The demo did not start: port {port} cannot be had (Address already in use); try another, "
        "for example PORT=5001.\n"
    )


def run_demo(port: str) -> subprocess.CompletedProcess[str]:
    checkout = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=checkout,
        env=os.environ | {"PORT": port},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
