"""The contract a drop-in keeps: when in a request its session is opened and saved, and what the test client may do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, abort, after_this_request, redirect, stream_with_context
from flask.sessions import NullSession
from flask.testing import FlaskClient
from werkzeug.routing import BaseConverter

from coatcheck import MemoryStore
from coatcheck.flask import session
from tests.support.watched_store import WatchedStore

from .conftest import MakeApp, set_cookies


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore(MemoryStore())


@pytest.fixture
def app(make_app: MakeApp, store: WatchedStore) -> Flask:
    """An application whose store counts its commands."""
    return make_app(SESSION_STORE=store)


# Without a secret key


def test_without_a_secret_key_reading_works(make_app: MakeApp) -> None:
    """Without a secret key the session is a ``NullSession``: reading works, and finds nothing."""
    app = make_app(SECRET_KEY=None)
    with app.test_request_context():
        assert isinstance(session._get_current_object(), NullSession)  # type: ignore[attr-defined]
        assert (session.get("name"), "name" in session, len(session), session.permanent) == (None, False, 0, False)


@pytest.mark.parametrize(
    "write",
    [
        lambda: session.__setitem__("name", "Ada"),
        lambda: session.__delitem__("name"),
        lambda: session.clear(),
        lambda: session.pop("name"),
        lambda: session.popitem(),
        lambda: session.update(name="Ada"),
        lambda: session.setdefault("name", "Ada"),
        lambda: setattr(session, "permanent", True),
        lambda: session.login("ada"),
        lambda: session.logout(),
        lambda: session.rotate(),
        lambda: session.reauthenticated(),
        lambda: session.atomic(lambda s: s.update(name="Ada")),
    ],
)
def test_without_a_secret_key_writing_is_flasks_error(make_app: MakeApp, write: object) -> None:
    """Without a secret key each way of writing, our verbs too, raises Flask's RuntimeError, which says what to do."""
    app = make_app(SECRET_KEY=None)
    with (
        app.test_request_context(),
        pytest.raises(RuntimeError, match=r"unavailable because no secret key was set\.\s+Set the secret_key"),
    ):
        write()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["logged_in_as", "handle", "created_at", "last_seen_at", "expires_at"])
def test_without_a_secret_key_nobody_is_logged_in(make_app: MakeApp, name: str) -> None:
    """Without a secret key our attributes are None, as they are for a session that is not stored."""
    with make_app(SECRET_KEY=None).test_request_context():
        assert getattr(session, name) is None


def test_a_null_session_is_never_saved(make_app: MakeApp, store: WatchedStore) -> None:
    """Null sessions are never saved: no store command and no cookie, whatever the visitor sends."""
    client = make_app(SECRET_KEY=None, SESSION_STORE=store).test_client()
    client.set_cookie("session", "A" * 43)
    assert not set_cookies(client.get("/read"))
    assert store.calls == []


# When it is opened


def test_opened_before_url_matching(app: Flask) -> None:
    """The session is opened before URL matching: URL converters may read it."""

    class Mine(BaseConverter):
        def to_python(self, value: str) -> str:
            return f"{session['name']}'s {value}"

    app.url_map.converters["mine"] = Mine
    app.add_url_rule("/<mine:what>/show", view_func=lambda what: what, endpoint="show")
    client = app.test_client()
    client.get("/write")
    assert client.get("/cart/show").text == "Ada's cart"


@pytest.mark.parametrize("request_line", ["GET /static/a.css", "GET /404", "OPTIONS /read", "HEAD /read"])
def test_there_is_a_session_for_every_request(app: Flask, tmp_path: Path, request_line: str) -> None:
    """The session is there for static files, 404, OPTIONS and HEAD alike, and is saved for them."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a {}")
    method, path = request_line.split()
    app.before_request(lambda: session.update(path=path))
    client = app.test_client()
    client.open(path, method=method).close()
    with client.session_transaction() as opened:
        assert opened["path"] == path


@pytest.mark.parametrize("path", ["/untouched", "/static/a.css", "/404"])
def test_untouched_costs_nothing(client: FlaskClient, store: WatchedStore, tmp_path: Path, path: str) -> None:
    """No store command on a request whose view does not use the session: static files and 404s included."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a {}")
    client.get("/write")
    store.calls.clear()
    response = client.get(path)
    assert (store.calls, set_cookies(response), "Vary" in response.headers) == ([], [], False)
    response.close()


def test_opened_once(app: Flask, store: WatchedStore) -> None:
    """The session is loaded at first access, once per request: ``stream_with_context`` must not reopen it."""

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            for _ in range(3):
                yield session["name"]

        session["name"] += " Lovelace "
        return Response(stream_with_context(chunks()))

    client = app.test_client()
    client.get("/write")
    store.calls.clear()
    assert client.get("/stream").text == "Ada Lovelace " * 3
    assert store.calls == ["read", "replace"]


def test_a_generator_may_be_the_first_to_read(app: Flask) -> None:
    """A generator may read the session after it was saved, even as the first: streamed responses carry ``Vary``."""

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            yield session["name"]

        return Response(stream_with_context(chunks()))

    client = app.test_client()
    client.get("/write")
    response = client.get("/stream")
    assert (response.text, response.headers["Vary"]) == ("Ada", "Cookie")


@pytest.mark.parametrize("used_before", [True, False])
def test_a_streamed_response_cannot_save(app: Flask, used_before: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A streamed response cannot save: a change after the commit is logged with its keys (and without its values)."""

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            session["late"] = "a value"
            session["cart"].append("a pear")
            yield "x"

        if used_before:
            session.setdefault("other", 1)
        return Response(stream_with_context(chunks()))

    client = app.test_client()
    with client.session_transaction() as opened:
        opened["cart"] = []
    client.get("/stream").close()
    assert "changes to the session after the response had begun are lost; keys: cart, late" in caplog.text
    assert "a value" not in caplog.text
    with client.session_transaction() as opened:
        assert ("late" in opened, opened["cart"]) == (False, [])


def test_what_a_generator_leaves_alone_is_not_logged(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A streamed response that changes nothing after the commit logs nothing."""

    @app.get("/stream")
    def stream() -> Response:
        session["cart"] = ["a pear"]
        return Response(stream_with_context(iter([str(session["cart"])])))

    app.test_client().get("/stream").close()
    assert caplog.text == ""


# When it is saved


def test_an_after_request_function_may_still_write(app: Flask) -> None:
    """The session is saved after every ``after_request`` function; these may still write."""

    @app.after_request
    def outer(response: Response) -> Response:
        session["seen"] = session.get("seen", 0) + 1
        return response

    def inmost(response: Response) -> Response:
        session["inner"] = True
        return response

    @app.get("/inner")
    def inner() -> str:
        after_this_request(inmost)
        return "ok"

    client = app.test_client()
    client.get("/inner")
    with client.session_transaction() as opened:
        assert dict(opened) == {"seen": 1, "inner": True}


@pytest.mark.parametrize("status", [401, 404, 500])
def test_saved_for_error_responses(app: Flask, status: int) -> None:
    """Also saved for error responses: a view that aborts, or raises, still has its session saved."""

    @app.get("/fail")
    def fail() -> str:
        session["failures"] = session.get("failures", 0) + 1
        if status == 500:
            raise ZeroDivisionError
        abort(status)

    client = app.test_client()
    for count in (1, 2):
        assert client.get("/fail").status_code == status
        with client.session_transaction() as opened:
            assert opened["failures"] == count


def test_an_error_handler_may_write(app: Flask) -> None:
    """The session is saved after the error handler too, which may read and write it."""

    @app.errorhandler(404)
    def not_found(_: object) -> tuple[str, int]:
        session["lost"] = True
        return f"sorry {session['name']}", 404

    client = app.test_client()
    client.get("/write")
    assert client.get("/nowhere").text == "sorry Ada"
    with client.session_transaction() as opened:
        assert opened["lost"] is True


def test_commands_per_request(client: FlaskClient, store: WatchedStore) -> None:
    """Assigning an equal value sends the cookie; only a changed encoding is written. Read 1, write 2, unchanged 1."""
    client.get("/write")
    for path, calls, sends in (("/read", ["read"], 0), ("/write", ["read"], 1), ("/clear", ["read", "delete"], 1)):
        store.calls.clear()
        assert len(set_cookies(client.get(path))) == sends
        assert store.calls == calls


def test_nested_changes_are_saved(app: Flask) -> None:
    """``session["cart"].append(x)`` is saved; ``modified = False`` never suppresses a write."""

    @app.get("/buy")
    def buy() -> str:
        session["cart"].append("pear")
        session.modified = False
        return "ok"

    client = app.test_client()
    with client.session_transaction() as opened:
        opened["cart"] = ["apple"]
    client.get("/buy")
    with client.session_transaction() as opened:
        assert opened["cart"] == ["apple", "pear"]


# The test client


def test_session_transaction_writes_and_reads(client: FlaskClient) -> None:
    """``client.session_transaction()`` sees what views wrote, and views see what was written there."""
    with client.session_transaction() as opened:
        opened["name"] = "Grace"
    assert client.get("/read").text == "Grace"
    client.get("/write")
    with client.session_transaction() as opened:
        assert opened["name"] == "Ada"


@pytest.mark.parametrize("permanent", [False, True])
def test_session_transaction_is_empty_when_new(make_app: MakeApp, permanent: bool) -> None:
    """``len(sess) == 0`` for a new session in a transaction, also where new sessions are permanent."""
    client = make_app(SESSION_PERMANENT=permanent).test_client()
    with client.session_transaction() as opened:
        assert (len(opened), opened.new, opened.modified) == (0, True, False)
    assert client.get_cookie("session") is None


def test_session_transaction_without_a_secret_key(make_app: MakeApp) -> None:
    """None from ``open_session`` makes the test client say that there is no session."""
    client = make_app(SECRET_KEY=None).test_client()
    with pytest.raises(RuntimeError, match="Session backend did not open a session"), client.session_transaction():
        pass


def test_session_transaction_loads_at_once(client: FlaskClient, store: WatchedStore) -> None:
    """A second ``open_session`` for one request (the test client's ``session_transaction``) loads at once."""
    client.get("/write")
    store.calls.clear()
    with client.session_transaction() as opened:
        assert store.calls == ["read"]
        opened["name"] = "Grace"
    assert store.calls == ["read", "replace"]


def test_session_transaction_inside_a_preserved_context(app: Flask) -> None:
    """A transaction leaves the context that ``with client:`` preserves, and its session, as they were."""
    with app.test_client() as client:
        client.get("/write")
        with client.session_transaction() as opened:
            opened["name"] = "Grace"
        assert session["name"] == "Ada"
        assert client.get("/read").text == "Grace"


@pytest.mark.parametrize("path", ["/write", "/read"])
def test_readable_after_the_response(app: Flask, path: str) -> None:
    """Within ``with client:`` the session stays readable after the response."""
    with app.test_client() as client:
        client.get("/write")
        client.get(path)
        assert session["name"] == "Ada"
        assert session.handle is not None


def test_readable_after_redirects(app: Flask) -> None:
    """Within ``with client:`` it is readable after ``follow_redirects`` too, and is that of the last request."""

    @app.get("/start")
    def start() -> Response:
        session["name"] = "Ada"
        return redirect("/untouched")  # type: ignore[return-value]

    with app.test_client() as client:
        client.get("/start", follow_redirects=True)
        assert session["name"] == "Ada"
