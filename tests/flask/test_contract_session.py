"""The contract a drop-in keeps: the session object, and what Flask and its extensions keep in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, flash, get_flashed_messages, redirect, render_template_string
from flask.sessions import SecureCookieSession
from flask.testing import FlaskClient
from markupsafe import Markup
from werkzeug.wrappers import Response

from coatcheck.flask import session
from coatcheck.testing import Clock

from .conftest import MakeApp, set_cookies

Session = Any  # ours or Flask's


# The attributes


def test_permanent_mirrors_its_key(app: Flask) -> None:
    """``permanent`` mirrors the key ``_permanent`` in the dict; setting it stores the key and marks modified."""
    with app.test_request_context():
        assert (session.permanent, dict(session)) == (False, {})
        session.permanent = True
        assert (session.permanent, dict(session), session.modified) == (True, {"_permanent": True}, True)
        session.pop("_permanent")
        assert session.permanent is False


def test_permanent_alone_is_nothing(app: Flask) -> None:
    """``permanent`` is a key like others; a session that holds nothing else is empty and not stored."""
    app.before_request(lambda: setattr(session, "permanent", True))
    client = app.test_client()
    assert not set_cookies(client.get("/untouched"))
    client.get("/write")
    assert len(set_cookies(client.get("/clear"))) == 1
    assert client.get_cookie("session") is None


def test_new(app: Flask) -> None:
    """``new`` is true while there is no stored session behind this one."""
    app.add_url_rule("/new", view_func=lambda: str(session.new))
    client = app.test_client()
    assert client.get("/new").text == "True"
    client.get("/write")
    assert client.get("/new").text == "False"
    client.get("/clear")
    assert client.get("/new").text == "True"


CHANGES: dict[str, Callable[[Session], object]] = {
    "assign": lambda s: s.__setitem__("name", "Grace"),
    "assign the same": lambda s: s.__setitem__("name", "Ada"),
    "del": lambda s: s.__delitem__("name"),
    "clear": lambda s: s.clear(),
    "popitem": lambda s: s.popitem(),
    "update": lambda s: s.update(name="Grace"),
    "update by nothing": lambda s: s.update({}),
    "union": lambda s: s.__ior__({"name": "Grace"}),
    "union with nothing": lambda s: s.__ior__({}),
    "setdefault, missing": lambda s: s.setdefault("other", 1),
    "setdefault, there": lambda s: s.setdefault("name", "Grace"),
    "pop, there": lambda s: s.pop("name"),
    "pop, missing": lambda s: s.pop("other", None),
    "permanent": lambda s: setattr(s, "permanent", False),
    "get": lambda s: s.get("name"),
    "a nested change": lambda s: s["cart"].append("pear"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_modified_is_as_in_flask(app: Flask, name: str) -> None:
    """``modified`` is set, and not set, by what sets it in Flask, and the values are then those of Flask's session."""
    results: list[tuple[bool, dict[str, Any]]] = []

    @app.get("/change")
    def change() -> str:
        CHANGES[name](session)
        results.append((session.modified, dict(session)))
        return "ok"

    client = app.test_client()
    with client.session_transaction() as opened:
        opened.update(name="Ada", cart=["apple"])
    client.get("/change")
    flasks = SecureCookieSession({"name": "Ada", "cart": ["apple"]})
    CHANGES[name](flasks)
    assert results == [(flasks.modified, dict(flasks))]


def test_pop_without_a_default(app: Flask) -> None:
    """``pop`` of a missing key is a KeyError, and changes nothing."""
    with app.test_request_context():
        with pytest.raises(KeyError):
            session.pop("name")
        assert session.modified is False


def test_modified_can_be_set(app: Flask) -> None:
    """``modified`` is settable by the user, and then sends the cookie again, as in Flask."""

    @app.get("/modified")
    def modified() -> str:
        session.modified = True
        return "ok"

    client = app.test_client()
    client.get("/write")
    assert len(set_cookies(client.get("/modified"))) == 1


def test_accessed(app: Flask) -> None:
    """``accessed`` is set by the request context on any use, and is assignable, on a null session too."""
    with app.test_request_context() as context:
        opened = context._session
        assert opened is not None
        assert opened.accessed is False
        assert "name" not in session
        assert opened.accessed is True
        opened.accessed = False
        assert opened.accessed is False
    app.secret_key = None
    with app.test_request_context() as context:
        assert session.get("name") is None
        assert context.session.accessed is True


def test_it_is_a_dict(client: FlaskClient) -> None:
    """The session is a dict, behind Flask's proxy: it compares, copies and prints as one."""
    with client:
        client.get("/write")
        assert session == {"name": "Ada"}
        assert isinstance(session._get_current_object(), dict)  # type: ignore[attr-defined]
        assert type(session.copy()) is dict
        assert type(copy.deepcopy(session._get_current_object())) is dict  # type: ignore[attr-defined]
        assert repr(session) == "{'name': 'Ada'}"


def test_flask_sessions_regenerate(app: Flask) -> None:
    """Flask-Session's ``app.session_interface.regenerate(session)`` gives the session a new token."""

    @app.get("/regenerate")
    def regenerate() -> str:
        app.session_interface.regenerate(session)  # type: ignore[attr-defined]
        return "ok"

    client = app.test_client()
    client.get("/write")
    before = client.get_cookie("session")
    client.get("/regenerate")
    assert client.get_cookie("session") != before
    assert client.get("/read").text == "Ada"


# flash


class Lazy:
    """A text that is made when it is shown, as the translation extensions have them."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return self.text


@pytest.fixture
def flashing(app: Flask) -> FlaskClient:
    @app.get("/flash")
    def flash_all() -> Response:
        flash("a plain <message>")
        flash(Markup("<em>good</em>"), "success")
        flash(Lazy("later"), "info")  # type: ignore[arg-type]
        return redirect("/shown")

    @app.get("/shown")
    def shown() -> str:
        return render_template_string("{{ get_flashed_messages(True) | map('join', ':') | join(', ') }}")

    @app.get("/types")
    def types() -> dict[str, list[str]]:
        messages = get_flashed_messages(with_categories=True, category_filter=["success", "message"])
        return {"types": [type(part).__name__ for pair in messages for part in (pair, *pair)]}

    return app.test_client()


def test_flash_survives_a_redirect(flashing: FlaskClient) -> None:
    """Post, redirect, get: messages flashed before the redirect are shown once after it, with their categories."""
    shown = flashing.get("/flash", follow_redirects=True).text
    assert shown == "message:a plain &lt;message&gt;, success:<em>good</em>, info:later"
    assert flashing.get("/shown").text == ""


def test_flash_keeps_types(flashing: FlaskClient) -> None:
    """(category, message) come back as tuples and Markup as Markup, filtered by category."""
    flashing.get("/flash")
    assert flashing.get("/types").json == {"types": ["tuple", "str", "str", "tuple", "str", "Markup"]}


def test_flash_before_any_session(flashing: FlaskClient) -> None:
    """Asking for messages where there are none makes no session."""
    assert not set_cookies(flashing.get("/shown"))


# Flask-Login


@pytest.fixture
def with_login(app: Flask) -> FlaskClient:
    """Views that do to the session what Flask-Login 0.6.3 does (utils.py:182-232)."""

    @app.get("/login")
    def login() -> str:
        session.update(_user_id="7", _fresh=True, _id="b" * 128, _remember="set", _remember_seconds=86_400.5)
        return "ok"

    @app.get("/logout")
    def logout() -> str:
        for key in ("_user_id", "_fresh", "_id", "_remember_seconds"):
            session.pop(key, None)
        session["_remember"] = "clear"
        return "ok"

    @app.get("/all")
    def everything() -> dict[str, object]:
        return dict(session)

    return app.test_client()


def test_flask_logins_keys_survive(with_login: FlaskClient) -> None:
    """Flask-Login's keys survive with their types, and can be popped one by one; what else is there stays."""
    with_login.get("/write")
    with_login.get("/login")
    assert with_login.get("/all").json == {
        "name": "Ada", "_user_id": "7", "_fresh": True, "_id": "b" * 128, "_remember": "set",
        "_remember_seconds": 86_400.5,
    }  # fmt: skip
    with_login.get("/logout")
    assert with_login.get("/all").json == {"name": "Ada", "_remember": "clear"}


def test_flask_logins_login_changes_the_token(with_login: FlaskClient) -> None:
    """A ``_user_id`` that goes from missing to truthy rotates the token, since Flask-Login never does it."""
    with_login.get("/write")
    planted = with_login.get_cookie("session")
    assert planted is not None
    with_login.get("/login")
    assert with_login.get_cookie("session") != planted
    with_login.set_cookie("session", planted.value)
    assert with_login.get("/all").json == {}


def test_flasks_login_recipe(app: Flask) -> None:
    """``session.clear()``, then setting the user, is Flask's login recipe: the token changes, nothing else stays."""

    @app.get("/login")
    def login() -> str:
        session.clear()
        session["user_id"] = 7
        return "ok"

    client = app.test_client()
    client.get("/write")
    planted = client.get_cookie("session")
    client.get("/login")
    assert client.get_cookie("session") != planted
    with client.session_transaction() as opened:
        assert dict(opened) == {"user_id": 7}


def test_a_permanent_session_lives_its_lifetime(client: FlaskClient, clock: Clock) -> None:
    """A permanent session ends one lifetime after its last use, any other after a day without use."""
    client.get("/permanent")
    for _ in range(2):
        clock.advance(30 * 86_400)
        assert client.get("/read").text == "Ada"
    clock.advance(31 * 86_400)
    assert client.get("/read").text == "nobody"
    client.get("/write")
    clock.advance(86_400)
    assert client.get("/read").text == "nobody"


def test_a_big_session(make_app: MakeApp) -> None:
    """A session may hold what no cookie can: megabytes, in any script."""
    app = make_app(SESSION_STORE=None)

    @app.get("/big")
    def big() -> str:
        session["имя"] = "ü€😀" * 300_000
        return "ok"

    client = app.test_client()
    client.get("/big")
    with client.session_transaction() as opened:
        assert opened["имя"] == "ü€😀" * 300_000
