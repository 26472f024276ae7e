"""What the Flask tests share: an application on a store in memory and a clock, and its Set-Cookie taken apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from coatcheck.flask import Session, session
from coatcheck.testing import Clock

SECRET = "a secret key for tests, of more than 32 bytes"

MakeApp = Callable[..., Flask]


@pytest.fixture
def clock() -> Clock:
    """The time, for every application of the test."""
    return Clock()


@pytest.fixture
def bare_app(tmp_path: Path) -> MakeApp:
    """Makes an application with the given settings, in ``tmp_path``, whose sessions are still Flask's own."""

    def make(flask_class: type[Flask] = Flask, **config: Any) -> Flask:
        app = flask_class("shop", instance_path=str(tmp_path / "instance"), root_path=str(tmp_path))
        app.config.update({"SECRET_KEY": SECRET, "SESSION_STORE": "memory:"} | config)
        return app

    return make


@pytest.fixture
def make_app(bare_app: MakeApp, clock: Clock) -> MakeApp:
    """Makes an application with the given settings, our sessions, and a view for each simple thing to do to one."""

    def make(**config: Any) -> Flask:
        app = bare_app(**config)
        Session(app, clock=clock)
        add_views(app)
        return app

    return make


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """An application with our sessions and no special settings."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor of ``app``."""
    return app.test_client()


def add_views(app: Flask) -> None:
    @app.get("/untouched")
    def untouched() -> str:
        return "ok"

    @app.get("/read")
    def read() -> str:
        return str(session.get("name", "nobody"))

    @app.get("/write")
    def write() -> str:
        session["name"] = "Ada"
        return "ok"

    @app.get("/permanent")
    def permanent() -> str:
        session.permanent = True
        session["name"] = "Ada"
        return "ok"

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return "ok"


def set_cookies(response: TestResponse) -> list[str]:
    return response.headers.getlist("Set-Cookie")


def cookie_of(response: TestResponse) -> dict[str, str]:
    """Take apart the one Set-Cookie of a response: the cookie's name and value, and its attributes."""
    (header,) = set_cookies(response)
    return dict(part.partition("=")[::2] for part in header.split("; "))
