"""What a visitor, the application and its log are told when a session cannot be read, saved or changed as asked."""

from __future__ import annotations

import encodings.idna  # noqa: F401 (Werkzeug needs it, and without_privileges() could not import it)
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from flask import Blueprint, Flask, Response, abort, flash, redirect, render_template_string
from flask.testing import FlaskClient
from werkzeug.exceptions import InternalServerError

from coatcheck import MemoryStore, StoreError
from coatcheck.flask import SessionUnavailable, session
from coatcheck.stores import sqlite_pool
from tests.support.watched_store import WatchedStore

from .conftest import MakeApp, set_cookies

# A store that fails


@contextmanager
def without_privileges() -> Iterator[None]:
    """Not as root, whom no file mode stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's are for their owner only."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)  # so that it can be removed


def request_fails(app: Flask, path: str, words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Check that a visitor of ``path`` gets 503 and no details, and the log one sentence with all the ``words``."""
    response = app.test_client().get(path)
    assert response.status_code == 503
    assert "Your session cannot be reached at the moment. Please try again." in response.text
    assert not any(detail in response.text for detail in ("Traceback", ".db", "sqlite", "coatcheck"))
    (sentence,) = caplog.messages
    assert [word for word in ["a request was answered 503: ", *words] if word not in sentence] == []
    assert caplog.records[0].levelname == "ERROR"
    assert caplog.records[0].exc_info is None


def test_an_unwritable_folder(make_app: MakeApp, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unwritable folder: the visitor gets 503, and the log says which folder, and what to do about it."""
    folder.chmod(0o555)
    app = make_app(SESSION_STORE=f"sqlite:///{folder}/sessions.db")
    words = [f"{folder}/sessions.db cannot be made (Permission denied)", f"make files in {folder}"]
    with without_privileges():
        request_fails(app, "/write", words, caplog)


def test_a_read_only_file(make_app: MakeApp, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A read-only SQLite file: the visitor gets 503, and the log says which file, and what to do about it."""
    app = make_app(SESSION_STORE=f"sqlite:///{folder}/sessions.db")
    app.test_client().get("/write")
    app.extensions["coatcheck"].store.close()
    (folder / "sessions.db").chmod(0o444)
    folder.chmod(0o555)
    words = [f"{folder}/sessions.db is read-only for this process", "write to the file and its folder"]
    with without_privileges():
        request_fails(app, "/write", words, caplog)


def test_a_locked_file(
    make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked SQLite file: the visitor gets 503 after a wait, and the log says what may hold it."""
    monkeypatch.setattr(sqlite_pool, "BUSY_SECONDS", 0.05)
    file = tmp_path / "sessions.db"
    app = make_app(SESSION_STORE=f"sqlite:///{file}")
    app.test_client().get("/write")
    app.extensions["coatcheck"].store.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        request_fails(app, "/write", [f"{file} is locked by another program", "end that program"], caplog)
    assert app.test_client().get("/write").status_code == 200


def test_a_file_that_is_no_database(make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of another kind is not touched: the visitor gets 503, and the log says to name another."""
    file = tmp_path / "notes.txt"
    file.write_text("my notes " * 1000)
    app = make_app(SESSION_STORE=f"sqlite:///{file}")
    request_fails(app, "/write", [f"{file} is not an SQLite database", "name another file"], caplog)
    assert file.read_text() == "my notes " * 1000


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore(MemoryStore())


@pytest.fixture
def app(make_app: MakeApp, store: WatchedStore) -> Flask:
    """An application whose store can be made to fail, and that counts what ``after_request`` sees."""
    app = make_app(SESSION_STORE=store)

    @app.get("/grace")
    def grace() -> Response:
        session["name"] = "Grace"
        flash("saved")
        response = redirect("/read")
        response.set_cookie("theme", "dark")
        response.headers.update({"ETag": '"1"', "Cache-Control": "max-age=60", "X-View": "stays"})
        return response  # type: ignore[return-value]

    @app.get("/login")
    def login() -> str:
        session.login("ada")
        return "ok"

    return app


def fail(*_: object) -> NoReturn:
    raise StoreError("the disk at /srv/secret is on fire")


WAYS = [("/read", "read"), ("/grace", "read"), ("/grace", "replace"), ("/login", "create"), ("/clear", "delete")]


@pytest.mark.parametrize(("path", "verb"), WAYS)
def test_a_store_that_fails_is_503(
    app: Flask, store: WatchedStore, path: str, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails, at the load or at the commit, commits nothing and becomes a 503; the session is as it was."""
    seen: list[int] = []
    app.after_request(lambda response: seen.append(response.status_code) or response)  # type: ignore[func-returns-value]
    client = app.test_client()
    client.get("/write")
    seen.clear()
    store.before(verb, fail)
    response = client.get(path)
    assert (response.status_code, set_cookies(response)) == (503, [])
    assert len(seen) == 1
    assert "/srv/secret" not in response.text
    assert caplog.messages == ["a request was answered 503: the disk at /srv/secret is on fire"]
    with client.session_transaction() as opened:
        assert dict(opened) == {"name": "Ada"}
        assert opened.logged_in_as is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "verb"), WAYS)
@pytest.mark.parametrize("kind", [503, StoreError, SessionUnavailable, Exception])
def test_the_apps_own_error_handler_answers(
    app: Flask, store: WatchedStore, path: str, verb: str, kind: type[Exception] | int
) -> None:
    """A store that is down becomes the app's answer through its own error handlers, by code or by class."""

    def sorry(error: Exception) -> tuple[str, int, dict[str, str]]:
        assert isinstance(error, SessionUnavailable)
        assert str(error.__cause__) == "the disk at /srv/secret is on fire"
        return "we are sorry", 503, {"Retry-After": "60"}

    app.register_error_handler(kind, sorry)
    client = app.test_client()
    client.get("/write")
    store.before(verb, fail)
    response = client.get(path)
    assert (response.status_code, response.text, response.headers["Retry-After"]) == (503, "we are sorry", "60")


def test_nothing_of_the_view_goes_out(app: Flask, store: WatchedStore) -> None:
    """The answer to an error at the commit has nothing of the view's answer that would be wrong on it."""
    client = app.test_client()
    store.before("create", fail)
    response = client.get("/grace")
    for name in ("Location", "Set-Cookie", "ETag", "Cache-Control"):
        assert name not in response.headers
    assert int(response.headers["Content-Length"]) == len(response.data)


def test_an_error_page_may_be_streamed(app: Flask, store: WatchedStore) -> None:
    """An error handler may answer at the commit with a generator: the view's Content-Length is gone, too."""
    app.register_error_handler(503, lambda _: Response(iter(["we are", " sorry"]), 503))
    store.before("create", fail)
    response = app.test_client().get("/grace")
    assert response.headers.get("Content-Length", "12") == "12"
    assert response.text == "we are sorry"


@pytest.mark.parametrize(("path", "verb"), WAYS)
def test_an_error_page_may_use_the_session(app: Flask, store: WatchedStore, path: str, verb: str) -> None:
    """The error page of most applications has the layout of the others, which shows the user and flashed messages."""
    page = "sorry, {{ session.get('no name', 'visitor') }} {{ get_flashed_messages() | length }}"
    app.register_error_handler(503, lambda _: (render_template_string(page), 503))
    client = app.test_client()
    client.get("/write")
    verbs = {name: getattr(store.store, name) for name in ("read", "create", "replace", "delete", "touch")}
    store.store = SimpleNamespace(**verbs | {verb: fail})  # it does not come back in between
    response = client.get(path)
    assert response.status_code == 503
    assert response.text.startswith("sorry, visitor ")


def test_a_blueprints_error_handler_answers(make_app: MakeApp, store: WatchedStore) -> None:
    """The handlers of the request's blueprint come first, also for what fails at the commit."""
    app = make_app(SESSION_STORE=store)
    shop = Blueprint("shop", __name__)
    shop.register_error_handler(503, lambda _: ("the shop is closed", 503))

    @shop.get("/shop")
    def visit() -> str:
        session["name"] = "Ada"
        return "ok"

    app.register_blueprint(shop)
    store.before("create", fail)
    assert app.test_client().get("/shop").text == "the shop is closed"


def test_a_view_may_handle_it(app: Flask, store: WatchedStore) -> None:
    """A view may catch the StoreError of its first use of the session, and answer without one."""

    @app.get("/page")
    def page() -> str:
        try:
            return str(session["name"])
        except StoreError:
            return "a page without a name"

    client = app.test_client()
    client.get("/write")
    store.before("read", fail)
    response = client.get("/page")
    assert (response.text, set_cookies(response)) == ("a page without a name", [])
    assert client.get("/page").text == "Ada"


def test_what_a_view_writes_all_the_same_is_not_forgotten(app: Flask, store: WatchedStore) -> None:
    """A store that is down gives an error; it never silently forgets: not even for a view that swallowed the first."""

    @app.get("/swallow")
    def swallow() -> str:
        with suppress(StoreError):
            session["name"] = "Grace"
        session.login("ada")
        return f"welcome, {session.logged_in_as}"

    client = app.test_client()
    client.get("/write")
    store.before("read", fail)
    assert client.get("/swallow").status_code == 503


def test_a_store_that_fails_is_not_asked_again(app: Flask, store: WatchedStore) -> None:
    """A request whose session could not be read asks the store no more, not even to refresh it."""
    client = app.test_client()
    client.get("/permanent")
    app.extensions["coatcheck"].clock.advance(3600)
    store.calls.clear()
    store.before("read", fail)
    assert client.get("/read").status_code == 503
    assert store.calls == ["read"]


def test_untouched_requests_are_served(app: Flask, store: WatchedStore, caplog: pytest.LogCaptureFixture) -> None:
    """Requests that do not use the session are served while the store is down; a refresh that fails is logged."""
    client = app.test_client()
    client.get("/permanent")
    app.extensions["coatcheck"].clock.advance(3600)
    store.before("read", fail)
    response = client.get("/untouched")
    assert (response.status_code, set_cookies(response)) == (200, [])
    assert caplog.messages == ["a session was not refreshed: the disk at /srv/secret is on fire"]


# A value that cannot be stored


@pytest.fixture
def unstorable(app: Flask, store: WatchedStore) -> Iterator[FlaskClient]:
    """A visitor whose cart, at ``/cart``, gets something in it that cannot be stored. Nothing is saved then."""

    @app.get("/cart")
    def cart() -> str:
        session["name"] = "Grace"
        session["cart"] = [{"item": object()}]
        return "ok"

    client = app.test_client()
    with client.session_transaction() as opened:
        opened["name"] = "Ada"
    store.calls.clear()
    yield client
    assert store.calls == ["read"]
    assert client.get("/read").text == "Ada"


SENTENCE = [r'session["cart"][0]["item"]: a', "object cannot be stored in a session; store what identifies it"]


def test_an_unstorable_value_is_a_500(unstorable: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be stored is a TypeError that names the key's path: the visitor gets 500, the log the sentence."""
    response = unstorable.get("/cart")
    assert (response.status_code, set_cookies(response)) == (500, [])
    assert "cart" not in response.text
    assert all(words in caplog.text for words in SENTENCE)


def test_after_request_runs_once_for_an_unstorable_value(app: Flask, unstorable: FlaskClient) -> None:
    """What ``after_request`` added stays on the 500, and it has run once: an exception would have run it twice."""

    @app.after_request
    def count(response: Response) -> Response:
        response.headers.add("X-Count", "1")
        return response

    assert unstorable.get("/cart").headers.getlist("X-Count") == ["1"]


def test_an_unstorable_value_in_a_test(app: Flask, unstorable: FlaskClient) -> None:
    """Under ``TESTING`` the TypeError reaches the test, as any error of the application does."""
    app.testing = True
    with pytest.raises(TypeError) as raised:
        unstorable.get("/cart")
    assert all(words in str(raised.value) for words in SENTENCE)


@pytest.mark.parametrize("kind", [TypeError, Exception, 500, InternalServerError])
def test_the_apps_own_error_handler_sees_it(app: Flask, unstorable: FlaskClient, kind: type[Exception] | int) -> None:
    """The app's own error handler sees what cannot be stored, by its class or as an internal server error."""

    def sorry(error: Exception) -> tuple[str, int]:
        cause = getattr(error, "original_exception", error)
        assert isinstance(cause, TypeError)
        assert all(words in str(cause) for words in SENTENCE)
        return "our mistake", 500

    app.register_error_handler(kind, sorry)
    response = unstorable.get("/cart")
    assert (response.status_code, response.text, set_cookies(response)) == (500, "our mistake", [])


def test_a_key_that_is_no_str(app: Flask) -> None:
    """A session key that is no str is an error that shows the key and says what keys are."""
    app.testing = True

    @app.get("/key")
    def key() -> str:
        session[1] = "one"  # type: ignore[index]
        return "ok"

    with pytest.raises(TypeError, match=r"session\[1\]: the key is an? int; session keys are str"):
        app.test_client().get("/key")


# The verbs


@pytest.mark.parametrize(("user", "kind"), [(None, "NoneType"), (True, "bool"), (1.5, "float"), (b"ada", "bytes")])
def test_login_of_what_is_no_user(app: Flask, user: object, kind: str) -> None:
    """``login()`` of something else than a str or an int is refused at once, naming its type, never its value."""
    with app.test_request_context():
        with pytest.raises(TypeError, match=rf"login\(\) got a {kind}; give the user's id, a str or an int"):
            session.login(user)  # type: ignore[arg-type]
        assert (session.logged_in_as, session.modified) == (None, False)


@pytest.mark.parametrize("remember", [0, -1, "30 days", True])
def test_login_remembered_for_nonsense(app: Flask, remember: object) -> None:
    """``login(remember=…)`` of what is no duration is refused at once, with the value, and nobody is logged in."""
    with app.test_request_context():
        with pytest.raises(ValueError, match=f"remember is {remember!r}; write a timedelta, or a number of seconds"):
            session.login("ada", remember=remember)  # type: ignore[arg-type]
        assert session.logged_in_as is None


def test_reauthenticated_with_nobody_logged_in(app: Flask) -> None:
    """``reauthenticated()`` with nobody logged in says what to call instead."""
    with app.test_request_context(), pytest.raises(ValueError, match=r"nobody is logged in; call login\(user\)"):
        session.reauthenticated()


@pytest.mark.parametrize("act", [lambda: session.login("ada"), lambda: session.clear(), lambda: session.rotate()])
def test_what_a_view_did_before_it_aborts_is_carried_out(app: Flask, act: Callable[[], None]) -> None:
    """A view that aborts after a verb has it carried out: an error page is an answer like others."""

    @app.get("/abort")
    def act_and_abort() -> str:
        act()
        abort(401)

    client = app.test_client()
    client.get("/write")
    before = client.get_cookie("session")
    response = client.get("/abort")
    assert (response.status_code, len(set_cookies(response))) == (401, 1)
    assert client.get_cookie("session") != before
