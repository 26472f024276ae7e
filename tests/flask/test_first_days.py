"""What a reviewer tried: settings that contradict each other, sessions outside a request, names of ours as keys."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Thread

import flask
import pytest
from flask import Flask, Request, Response
from werkzeug.test import EnvironBuilder

from coatcheck import ConfigurationError, MemoryStore, Policy, StoreError
from coatcheck.flask import Session, session
from coatcheck.testing import Clock
from tests.support.watched_store import WatchedStore

SECRET = "a secret key of more than thirty-two bytes"


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore(MemoryStore())


@pytest.fixture
def app(store: WatchedStore) -> Flask:
    """An app that keeps a name, and shows it."""
    app = Flask("first days")
    app.secret_key = SECRET
    Session(app, store=store, clock=Clock())

    @app.get("/keep/<name>")
    def keep(name: str) -> str:
        session["name"] = name
        return "kept"

    @app.get("/")
    def show() -> str:
        return str(session.get("name"))

    return app


def test_an_older_flask_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 3.1.3 Flask did not say when a view used the session, and nothing would ever be loaded or saved."""
    monkeypatch.setattr(flask.sessions.SessionMixin, "accessed", True)
    with pytest.raises(ConfigurationError, match=r"install Flask 3\.1\.3 or later"):
        Session(Flask("older"))


def test_a_policy_and_a_key_of_its_own_contradict_each_other() -> None:
    """A key that a policy argument would hide is an error, so that nobody believes it in force."""
    app = Flask("both")
    app.config["SESSION_ABSOLUTE"] = 3600
    with pytest.raises(ConfigurationError, match=r"both a policy and SESSION_ABSOLUTE are given"):
        Session(app, policy=Policy(renew_after=900))


def test_a_prefix_belongs_to_the_store_object() -> None:
    """A prefix that a store object would never see is an error that says where it goes."""
    app = Flask("prefix")
    app.config["SESSION_KEY_PREFIX"] = "shop:"
    with pytest.raises(ConfigurationError, match=r"give the prefix to the store itself: MemoryStore\(…, key_prefix"):
        Session(app, store=MemoryStore())


@pytest.mark.parametrize("key", ["SESSION_MAX_SESSIONS_PER_USER", "SESSION_ON_LIMIT", "SESSION_REVOCATIONS"])
def test_a_rule_that_is_still_to_come_is_refused(key: str) -> None:
    """A rule of a later version is an error: a limit that is not in force must not look as if it were."""
    app = Flask("later")
    app.config[key] = 3
    with pytest.raises(ConfigurationError, match=f"{key} is not in this version of coatcheck yet"):
        Session(app)


def test_a_key_that_one_of_our_names_hides_is_logged_once(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A key that one of our names hides is logged once."""

    @app.get("/hide")
    def hide() -> str:
        session["handle"] = "mine"
        return "kept"

    client = app.test_client()
    with caplog.at_level(logging.WARNING, logger="coatcheck"):
        client.get("/hide")
        client.get("/hide")
    hidden = [record.getMessage() for record in caplog.records if "is hidden in templates" in record.getMessage()]
    assert len(hidden) == 1
    assert hidden[0].startswith("session['handle']")


def test_a_session_that_is_opened_outside_a_request_is_loaded(app: Flask) -> None:
    """A socket handler or middleware opens the session itself: there nobody says that it is used, so it is loaded."""
    client = app.test_client()
    client.get("/keep/ada")
    cookie = client.get_cookie("session")
    assert cookie is not None
    environ = EnvironBuilder(headers={"Cookie": f"session={cookie.value}"}).get_environ()
    opened = app.session_interface.open_session(app, Request(environ))
    assert opened is not None
    assert dict(opened) == {"name": "ada"}


def test_threads_of_one_request_load_the_session_once(app: Flask, store: WatchedStore) -> None:
    """A thread of a request uses its session while it is being loaded: it waits, and its write is not loaded over."""

    @app.get("/threads")
    def threads() -> str:
        def write() -> None:
            session["name"] = "new"

        other = Thread(target=flask.copy_current_request_context(write))

        def begin() -> None:
            other.start()
            for _ in range(2000):
                os.sched_yield()

        store.calls.clear()
        store.before("read", begin)
        session.get("name")
        other.join()
        return "done"

    client = app.test_client()
    client.get("/keep/ada")
    assert client.get("/threads").text == "done"
    assert store.calls == ["read", "replace"]
    assert client.get("/").text == "new"


def test_what_an_error_answer_keeps(app: Flask, store: WatchedStore, tmp_path: Path) -> None:
    """The answer to a failed commit varies by cookie whatever its handler says, and sends no file of the view's."""
    app.register_error_handler(503, lambda _: Response("sorry", 503, {"Vary": "Accept-Encoding"}))

    @app.get("/file")
    def file() -> Response:
        session["seen"] = True
        return Response("", headers={"X-Sendfile": str(tmp_path / "secret.pdf")})

    def fail() -> None:
        raise StoreError("down")

    store.before("create", fail)
    response = app.test_client().get("/file")
    assert response.status_code == 503
    assert "X-Sendfile" not in response.headers
    assert {"Accept-Encoding", "Cookie"} <= set(response.vary)
