"""The contract a drop-in keeps: how sessions are installed, on an application or a class of them, and its keys."""

from __future__ import annotations

import gc
import time
import weakref
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import NullSession, SessionInterface

import coatcheck.flask
from coatcheck import MemoryStore, Policy, SQLiteStore
from coatcheck.errors import ConfigurationError
from coatcheck.flask import Session
from coatcheck.testing import Clock

from .conftest import SECRET, MakeApp, add_views, set_cookies

OTHER_SECRET = "another secret key for tests, of more than 32 bytes"


def test_session_of_app_installs(bare_app: MakeApp) -> None:
    """``Session(app)`` sets the interface, and puts the manager, with its store, policy and clock, into extensions."""
    app, store, policy = bare_app(), MemoryStore(), Policy(absolute=60)
    Session(app, store=store, policy=policy)
    assert type(app.session_interface) is coatcheck.flask.SessionInterface
    sessions = app.extensions["coatcheck"]
    assert (sessions.store, sessions.policy, sessions.clock) == (store, policy, time.time)


def test_init_app_installs(bare_app: MakeApp) -> None:
    """``Session().init_app(app)`` does what ``Session(app)`` does, for as many applications as one likes."""
    extension = Session()
    apps = [bare_app(), bare_app()]
    for app in apps:
        extension.init_app(app)
        add_views(app)
        client = app.test_client()
        client.get("/write")
        assert client.get("/read").text == "Ada"
    assert apps[0].extensions["coatcheck"] is not apps[1].extensions["coatcheck"]


def test_twice_with_equal_settings_is_a_no_op(app: Flask) -> None:
    """``Session(app)`` twice with equal settings is a no-op: the sessions of the first stay."""
    client = app.test_client()
    client.get("/write")
    installed = app.session_interface, app.extensions["coatcheck"]
    Session(app)
    Session().init_app(app)
    assert (app.session_interface, app.extensions["coatcheck"]) == installed
    assert client.get("/read").text == "Ada"


@pytest.mark.parametrize("different", [{"store": "sqlite:///other.db"}, {"application": "b"}, {"policy": Policy(60)}])
def test_twice_with_different_settings_is_an_error(app: Flask, different: dict[str, object]) -> None:
    """Initialised twice with different settings, arguments or keys, is an error, since only one set could hold."""
    with pytest.raises(ConfigurationError, match=r"Session\(app\) was called twice with different settings"):
        Session(app, **different)  # type: ignore[arg-type]
    app.config["SESSION_KEY_PREFIX"] = "b"
    with pytest.raises(ConfigurationError, match="call it once, after the configuration"):
        Session(app)


def test_one_interface_on_a_class_serves_many_applications(bare_app: MakeApp) -> None:
    """``session_interface`` may be set on a class: one object serves many applications, each with its own settings."""

    class Shop(Flask):
        session_interface = coatcheck.flask.SessionInterface()

    one, other = bare_app(Shop), bare_app(Shop, SESSION_COOKIE_NAME="other")
    for app, name in ((one, "session"), (other, "other")):
        add_views(app)
        client = app.test_client()
        client.get("/write")
        assert client.get("/read").text == "Ada"
        assert client.get_cookie(name) is not None
    assert one.extensions["coatcheck"].store is not other.extensions["coatcheck"].store


def test_a_subclass_of_the_interface(bare_app: MakeApp) -> None:
    """An application may bring a subclass of our interface, which can decide what the interface asks it."""

    class Interface(coatcheck.flask.SessionInterface):
        def should_set_cookie(self, *_: object) -> bool:
            return True

    app = bare_app()
    Session(app)
    app.session_interface = Interface()
    add_views(app)
    client = app.test_client()
    client.get("/write")
    assert set_cookies(client.get("/read"))


def test_it_is_flasks_interface() -> None:
    """Our interface is one of Flask's, with its attributes and without pickle."""
    ours = coatcheck.flask.SessionInterface
    assert issubclass(ours, SessionInterface)
    assert issubclass(ours.null_session_class, NullSession)
    assert ours.pickle_based is False


def test_the_secret_key_may_come_late(make_app: MakeApp) -> None:
    """``SECRET_KEY`` is read at each request, not once: Flask's tests set it after the extension is installed."""
    app = make_app(SECRET_KEY=None)
    app.secret_key = SECRET
    client = app.test_client()
    client.get("/write")
    assert client.get("/read").text == "Ada"


def test_the_secret_key_may_change(app: Flask) -> None:
    """``SECRET_KEY_FALLBACKS`` is read at each request: an old key opens sessions while it is there, and only then."""
    client = app.test_client()
    client.get("/write")
    app.secret_key = OTHER_SECRET
    assert client.get("/read").text == "nobody"
    app.config["SECRET_KEY_FALLBACKS"] = [SECRET]
    assert client.get("/read").text == "Ada"


def test_an_app_is_freed(make_app: MakeApp) -> None:
    """There is no reference cycle between application and interface: the last reference to an application frees it."""
    app = make_app()
    with app.test_request_context():
        pass
    reference = weakref.ref(app)
    gc.collect()
    gc.disable()
    try:
        del app
        assert reference() is None
    finally:
        gc.enable()


def test_without_a_store_it_is_a_file_in_the_instance_folder(make_app: MakeApp, tmp_path: Path) -> None:
    """With no store configured: ``sessions.db`` in the app's instance folder, made when a session is first saved."""
    app = make_app(SESSION_STORE=None)
    client = app.test_client()
    client.get("/read")
    assert not (tmp_path / "instance").exists()
    client.get("/write")
    assert (tmp_path / "instance" / "sessions.db").exists()
    assert client.get("/read").text == "Ada"


def test_session_store_is_an_object_or_a_url(make_app: MakeApp, tmp_path: Path) -> None:
    """``SESSION_STORE`` is a URL or a store object, and both lead to the same sessions."""
    path = tmp_path / "sessions.db"
    client = make_app(SESSION_STORE=SQLiteStore(path)).test_client()
    client.get("/write")
    by_url = make_app(SESSION_STORE=f"sqlite:///{path}").test_client()
    by_url.set_cookie("session", client.get_cookie("session").value)  # type: ignore[union-attr]
    assert by_url.get("/read").text == "Ada"


def test_session_type_filesystem(make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-Session's ``SESSION_TYPE = "filesystem"`` works: an SQLite file in the same folder, ``flask_session``."""
    monkeypatch.chdir(tmp_path)
    app = make_app(SESSION_STORE=None, SESSION_TYPE="filesystem")
    app.test_client().get("/write")
    assert (tmp_path / "flask_session" / "sessions.db").exists()


def test_session_file_dir(make_app: MakeApp, tmp_path: Path) -> None:
    """Flask-Session's ``SESSION_FILE_DIR`` says in which folder that file is."""
    app = make_app(SESSION_STORE=None, SESSION_TYPE="FileSystem", SESSION_FILE_DIR=str(tmp_path / "files"))
    app.test_client().get("/write")
    assert (tmp_path / "files" / "sessions.db").exists()


@pytest.mark.parametrize("key", ["SESSION_KEY_PREFIX", "SESSION_APPLICATION"])
def test_applications_are_separated_in_one_store(make_app: MakeApp, tmp_path: Path, key: str) -> None:
    """``SESSION_KEY_PREFIX`` and ``SESSION_APPLICATION`` separate applications in a store; equals share."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    shop = make_app(SESSION_STORE=url, **{key: "shop"}).test_client()
    shop.get("/write")
    for name, seen in (("shop", "Ada"), ("blog", "nobody")):
        other = make_app(SESSION_STORE=url, **{key: name}).test_client()
        other.set_cookie("session", shop.get_cookie("session").value)  # type: ignore[union-attr]
        assert other.get("/read").text == seen


def test_session_permanent(make_app: MakeApp, clock: Clock) -> None:
    """``SESSION_PERMANENT = True`` makes new sessions permanent, unless the view says otherwise."""
    app = make_app(SESSION_PERMANENT=True)

    @app.get("/brief")
    def brief() -> str:
        coatcheck.flask.session.permanent = False
        coatcheck.flask.session["name"] = "Ada"
        return "ok"

    client = app.test_client()
    assert "Max-Age=2678400" in set_cookies(client.get("/write"))[0]
    clock.advance(30 * 86_400)
    assert client.get("/read").text == "Ada"
    assert "Max-Age" not in set_cookies(app.test_client().get("/brief"))[0]


def test_keys_of_flask_session_without_effect(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """A Flask-Session key that asks for what is always so here is accepted, and the start-up log says why."""
    caplog.set_level("INFO", "coatcheck")
    app = make_app(SESSION_USE_SIGNER=True, SESSION_ID_LENGTH=64, SESSION_SERIALIZATION_FORMAT="json")
    assert "SESSION_USE_SIGNER has no effect: a session token is 256 random bits" in caplog.text
    client = app.test_client()
    client.get("/write")
    assert client.get("/read").text == "Ada"


def test_the_start_up_log_says_what_is_in_force(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Start-up logs what is in force: where sessions are kept, and how long they last."""
    caplog.set_level("INFO", "coatcheck")
    make_app()
    assert "sessions are kept in" in caplog.text
    assert "1 day, 0:00:00 after its last use, a permanent one 31 days, 0:00:00 after its last use" in caplog.text
