"""The contract a drop-in keeps: what a response carries, by Flask's settings: Set-Cookie, Vary and Cache-Control."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from flask import Flask, Response, abort, get_flashed_messages, render_template_string, request
from flask.testing import FlaskClient

import coatcheck.flask
from coatcheck.flask import session
from coatcheck.testing import Clock

from .conftest import MakeApp, cookie_of, set_cookies

DAY = 86_400


# The attributes of the cookie


def test_flasks_defaults(client: FlaskClient) -> None:
    """The framework's own settings are obeyed, defaults included: name ``session``, no Secure, no SameSite in Flask."""
    cookie = cookie_of(client.get("/write"))
    token = cookie.pop("session")
    assert len(token) == 43
    assert cookie == {"Path": "/", "HttpOnly": ""}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, {"Domain": "example.com", "Path": "/", "HttpOnly": ""}),
        ({"SESSION_COOKIE_DOMAIN": ".example.com"}, {"Domain": "example.com", "Path": "/", "HttpOnly": ""}),
        ({"SESSION_COOKIE_PATH": "/shop"}, {"Path": "/shop", "HttpOnly": ""}),
        ({"APPLICATION_ROOT": "/shop"}, {"Path": "/shop", "HttpOnly": ""}),
        ({"APPLICATION_ROOT": "/shop", "SESSION_COOKIE_PATH": "/"}, {"Path": "/", "HttpOnly": ""}),
        ({"SESSION_COOKIE_HTTPONLY": False}, {"Path": "/"}),
        ({"SESSION_COOKIE_SECURE": True}, {"Path": "/", "Secure": "", "HttpOnly": ""}),
        ({"SESSION_COOKIE_SAMESITE": "lax"}, {"Path": "/", "HttpOnly": "", "SameSite": "Lax"}),
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, {"Path": "/", "HttpOnly": "", "SameSite": "Strict"}),
        (
            {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": True},
            {"Path": "/", "Secure": "", "HttpOnly": "", "SameSite": "None"},
        ),
        ({"SESSION_COOKIE_PARTITIONED": True}, {"Path": "/", "Secure": "", "HttpOnly": "", "Partitioned": ""}),
        ({"SERVER_NAME": "example.com"}, {"Path": "/", "HttpOnly": ""}),
    ],
    ids=lambda value: "" if "Path" in value else ", ".join(value),
)
def test_each_key_and_the_deletion(make_app: MakeApp, config: dict[str, Any], expected: dict[str, str]) -> None:
    """Each ``SESSION_COOKIE_…`` key is obeyed, and a deletion carries the same attributes as what it deletes."""
    app = make_app(SESSION_COOKIE_NAME="visit", **config)
    client = app.test_client(use_cookies=False)
    cookie = cookie_of(client.get("/write", base_url="http://example.com"))
    token = cookie.pop("visit")
    assert cookie == expected
    deletion = cookie_of(client.get("/clear", base_url="http://example.com", headers={"Cookie": f"visit={token}"}))
    assert deletion == expected | {"visit": "", "Max-Age": "0", "Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}


def test_host_prefix(make_app: MakeApp) -> None:
    """A cookie with a ``__Host-`` name is set and deleted with Secure and Path=/, or browsers would refuse either."""
    client = make_app(SESSION_COOKIE_NAME="__Host-s", SESSION_COOKIE_SECURE=True).test_client()
    written = cookie_of(client.get("/write", base_url="https://localhost"))
    deleted = cookie_of(client.get("/clear", base_url="https://localhost"))
    assert set(written) == {"__Host-s", "Path", "Secure", "HttpOnly"}
    assert set(deleted) == {"__Host-s", "Path", "Secure", "HttpOnly", "Max-Age", "Expires"}
    assert (deleted["__Host-s"], deleted["Max-Age"], deleted["Path"]) == ("", "0", "/")


def test_dynamic_cookie_name(app: Flask) -> None:
    """Both open and save ask ``get_cookie_name(app)``, within the request: it may differ by URL."""

    class ByPath(coatcheck.flask.SessionInterface):
        def get_cookie_name(self, app: Flask) -> str:
            return "b" if request.path.startswith("/b/") else "a"

    app.session_interface = ByPath()

    @app.get("/<name>/write")
    def write_as(name: str) -> str:
        session["who"] = request.path
        return "ok"

    app.add_url_rule("/<name>/read", view_func=lambda name: session.get("who", "nobody"))
    client = app.test_client()
    client.get("/a/write")
    assert (client.get("/a/read").text, client.get("/b/read").text) == ("/a/write", "nobody")
    client.get("/b/write")
    assert (client.get("/a/read").text, client.get("/b/read").text) == ("/a/write", "/b/write")


def test_settings_are_read_at_each_response(app: Flask) -> None:
    """The cookie's settings are those in force when it is sent, as in Flask."""
    client = app.test_client()
    client.get("/write")
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    assert cookie_of(client.get("/write"))["SameSite"] == "Lax"


# When it is sent


def test_only_what_was_modified_is_sent(client: FlaskClient) -> None:
    """Set-Cookie goes out when the session was modified; reading, or not touching, a session that is not permanent
    sends none."""
    assert len(set_cookies(client.get("/write"))) == 1
    assert len(set_cookies(client.get("/write"))) == 1
    assert [set_cookies(client.get(path)) for path in ("/read", "/untouched")] == [[], []]


def test_reading_creates_nothing(client: FlaskClient) -> None:
    """No session and no Set-Cookie without a change; ``clear()`` on nothing sends nothing."""
    assert [set_cookies(client.get(path)) for path in ("/read", "/untouched", "/clear")] == [[], [], []]


def test_an_unknown_cookie_is_not_deleted_on_a_read(client: FlaskClient) -> None:
    """An unknown cookie is never deleted on a mere read."""
    for value in ("A" * 43, "nonsense", ""):
        client.set_cookie("session", value)
        assert set_cookies(client.get("/read")) == []


@pytest.mark.parametrize("lifetime", [timedelta(days=7), 7 * DAY])
def test_refresh_each_request(make_app: MakeApp, clock: Clock, lifetime: timedelta | int) -> None:
    """Permanent, refresh on: Max-Age and Expires, both one lifetime from now, with each response that used it."""
    client = make_app(PERMANENT_SESSION_LIFETIME=lifetime).test_client()
    for path in ("/permanent", "/read", "/write"):
        cookie = cookie_of(client.get(path))
        assert cookie["Max-Age"] == str(7 * DAY)
        assert parsedate_to_datetime(cookie["Expires"]).timestamp() == clock() + 7 * DAY
        clock.advance(DAY)


def test_no_refresh(make_app: MakeApp, clock: Clock) -> None:
    """Permanent, refresh off: Max-Age is what is left, and only a change sends it; it ends one lifetime after that."""
    client = make_app(SESSION_REFRESH_EACH_REQUEST=False).test_client()
    assert cookie_of(client.get("/permanent"))["Max-Age"] == str(31 * DAY)
    clock.advance(10 * DAY)
    assert set_cookies(client.get("/read")) == []
    untouched = client.get("/untouched")
    assert (set_cookies(untouched), "Vary" in untouched.headers) == ([], False)
    cookie = cookie_of(client.get("/write"))  # sent, since assigned; what is stored stays the same
    assert cookie["Max-Age"] == str(21 * DAY)
    assert parsedate_to_datetime(cookie["Expires"]).timestamp() == clock() + 21 * DAY
    clock.advance(21 * DAY)
    assert client.get("/read").text == "nobody"


def test_no_refresh_and_a_nested_change(make_app: MakeApp, clock: Clock) -> None:
    """Permanent, refresh off: it ends one lifetime after the last change, a nested one too, and so does its cookie."""
    app = make_app(SESSION_REFRESH_EACH_REQUEST=False)
    app.add_url_rule("/buy", view_func=lambda: session["cart"].append("pear") or "ok")
    client = app.test_client()
    with client.session_transaction() as opened:
        opened.permanent = True
        opened["cart"] = []
    clock.advance(10 * DAY)
    assert cookie_of(client.get("/buy"))["Max-Age"] == str(31 * DAY)


def test_the_lifetime_is_read_at_each_commit(app: Flask) -> None:
    """The lifetime is the framework's, read at each commit, never cached."""
    client = app.test_client()
    client.get("/permanent")
    app.permanent_session_lifetime = timedelta(hours=1)
    assert cookie_of(client.get("/read"))["Max-Age"] == "3600"


def test_an_untouched_permanent_session_is_refreshed(client: FlaskClient, clock: Clock) -> None:
    """An untouched request ``read``s and ``touch``es when 60 s have gone by; otherwise ``Vary`` and no Set-Cookie."""
    client.get("/permanent")
    clock.advance(59)
    response = client.get("/untouched")
    assert (set_cookies(response), response.headers["Vary"]) == ([], "Cookie")
    clock.advance(1)
    response = client.get("/untouched")
    assert (cookie_of(response)["Max-Age"], response.headers["Vary"]) == (str(31 * DAY), "Cookie")


# Vary


USES: dict[str, Callable[[], object]] = {
    "in": lambda: "name" in session,
    "len": lambda: len(session),
    "bool": lambda: bool(session),
    "iter": lambda: list(session),
    "get": lambda: session.get("name"),
    "[]": lambda: session["name"],
    "items": lambda: list(session.items()),
    "==": lambda: session == {},
    "permanent": lambda: session.permanent,
    "new": lambda: session.new,
    "modified": lambda: session.modified,
    "logged_in_as": lambda: session.logged_in_as,
    "handle": lambda: session.handle,
    "expires_at": lambda: session.expires_at,
    "flashes": lambda: get_flashed_messages(),
    "template": lambda: render_template_string("{{ session.name }}"),
    "template's flashes": lambda: render_template_string("{{ get_flashed_messages() }}"),
    "assign": lambda: session.update(name="Grace"),
    "clear": lambda: session.clear(),
    "rotate": lambda: session.rotate(),
}


@pytest.mark.parametrize("has_session", [True, False])
@pytest.mark.parametrize("use", USES)
def test_vary_on_any_use(app: Flask, use: str, has_session: bool) -> None:
    """``Vary: Cookie`` on whatever a session influenced, by any kind of access, whether or not there is a session."""
    app.add_url_rule("/use", view_func=lambda: str(USES[use]()))
    client = app.test_client()
    if has_session:
        client.get("/write")
    assert client.get("/use").headers["Vary"] == "Cookie"  # a KeyError's page, too, tells whether there is a session


@pytest.mark.parametrize("where", ["before_request", "after_request", "error handler", "context processor"])
def test_vary_wherever_it_is_used(app: Flask, where: str) -> None:
    """``Vary: Cookie`` also when the session is used around the view: by hooks, error handlers, in a template."""
    if where == "before_request":
        app.before_request(lambda: abort(401) if "banned" in session else None)
    elif where == "after_request":
        app.after_request(lambda response: abort(401) if "banned" in session else response)
    elif where == "error handler":
        app.register_error_handler(404, lambda _: (f"sorry {session.get('name')}", 404))
    else:
        app.context_processor(lambda: {"name": session.get("name")})
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ name }}"))
    path = "/nowhere" if where == "error handler" else "/page"
    assert app.test_client().get(path).headers["Vary"] == "Cookie"


def test_a_template_that_does_not_use_the_session(app: Flask) -> None:
    """Rendering a template that does not use the session does not access it: no Vary."""
    app.add_url_rule("/page", view_func=lambda: render_template_string("hello"))
    assert "Vary" not in app.test_client().get("/page").headers


@pytest.mark.parametrize(
    ("of_the_view", "expected"),
    [
        ("Accept-Encoding", "Accept-Encoding, Cookie"),
        ("Accept-Encoding, Accept-Language", "Accept-Encoding, Accept-Language, Cookie"),
        ("Cookie", "Cookie"),
        ("cookie, Accept", "cookie, Accept"),
    ],
)
def test_vary_is_merged(app: Flask, of_the_view: str, expected: str) -> None:
    """``Vary`` appears once and is merged with what the view set."""

    @app.get("/vary")
    def vary() -> Response:
        session["name"] = "Ada"
        return Response("ok", headers={"Vary": of_the_view})

    assert app.test_client().get("/vary").headers.getlist("Vary") == [expected]


@pytest.mark.parametrize("path", ["/untouched", "/nowhere", "/abort"])
def test_no_vary_untouched(app: Flask, path: str) -> None:
    """An untouched request carrying the cookie of a session that is not permanent has no Vary, errors included."""
    app.add_url_rule("/abort", view_func=lambda: abort(401))
    client = app.test_client()
    client.get("/write")
    assert "Vary" not in client.get(path).headers


# Cache-Control


@pytest.mark.parametrize(
    ("of_the_view", "expected"),
    [
        (None, {"private"}),
        ("public", {"private"}),
        ("public, max-age=60, s-maxage=600", {"private", "max-age=60"}),
        ("max-age=60", {"private", "max-age=60"}),
        ("private, max-age=60", {"private", "max-age=60"}),
        ("no-store", {"no-store"}),
    ],
)
@pytest.mark.parametrize("path", ["/sets", "/deletes"])
def test_never_publicly_cacheable(app: Flask, path: str, of_the_view: str | None, expected: set[str]) -> None:
    """A response that sets (or deletes) a session cookie is never publicly cacheable."""

    def view() -> Response:
        if path == "/sets":
            session["name"] = "Ada"
        else:
            session.clear()
        return Response("ok", headers={"Cache-Control": of_the_view} if of_the_view else {})

    app.add_url_rule(path, view_func=view)
    client = app.test_client()
    client.get("/write")
    response = client.get(path)
    assert len(set_cookies(response)) == 1
    assert set(response.headers["Cache-Control"].split(", ")) == expected


def test_caching_is_left_alone_without_a_cookie(app: Flask) -> None:
    """A response without Set-Cookie keeps the view's Cache-Control, even if it used the session."""

    @app.get("/public")
    def public() -> Response:
        session.get("name")
        return Response("ok", headers={"Cache-Control": "public, max-age=60"})

    assert app.test_client().get("/public").headers["Cache-Control"] == "public, max-age=60"


def test_the_views_own_cookies_stay(app: Flask) -> None:
    """The view's own cookies are sent beside the session's."""

    @app.get("/both")
    def both() -> Response:
        session["name"] = "Ada"
        response = Response("ok")
        response.set_cookie("theme", "dark")
        return response

    names = [header.partition("=")[0] for header in set_cookies(app.test_client().get("/both"))]
    assert names == ["theme", "session"]
