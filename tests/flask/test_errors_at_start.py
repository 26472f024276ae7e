"""The sentence one gets for a setting that cannot work: what is wrong, with the value, and what to write instead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import coatcheck.flask
from coatcheck import MemoryStore, SQLiteStore
from coatcheck.errors import ConfigurationError
from coatcheck.flask import Session

from .conftest import SECRET, MakeApp, add_views

MAKES_A_GOOD_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

# What is set, and what the sentence must say.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    # where sessions are kept
    ({"SESSION_STORE": "sessions.db"}, ["has no scheme", "'sqlite:///sessions.db'", "'memory:'"]),
    ({"SESSION_STORE": "foo:bar"}, ["There is no store 'foo:'", "'sqlite:///sessions.db'"]),
    ({"SESSION_STORE": "sqlite:sessions.db"}, ["'sqlite:///', the name of a file", "'sqlite:///sessions.db'"]),
    ({"SESSION_STORE": "redis://localhost"}, ["'redis:' is not in this version", "'sqlite:///sessions.db'"]),
    ({"SESSION_STORE": object()}, ["the store is", "object", "write a URL such as 'sqlite:///sessions.db'"]),
    ({"SESSION_STORE": Path("sessions.db")}, ["the store is a PosixPath", "write a URL such as 'sqlite:///"]),
    ({"SESSION_STORE": {}}, ["the store is a dict", "write a URL such as 'sqlite:///sessions.db'"]),
    ({"SESSION_STORE": MemoryStore}, ["MemoryStore", "class", "MemoryStore("]),
    ({"SESSION_STORE": SQLiteStore}, ["SQLiteStore", "class", "SQLiteStore("]),
    ({"SESSION_STORE": None, "SESSION_TYPE": "redis"}, ["SESSION_TYPE 'redis' is not in this version", "leave it out"]),
    ({"SESSION_STORE": None, "SESSION_TYPE": "null"}, ["SESSION_TYPE is 'null'", "filesystem", "leave it out"]),
    ({"SESSION_REDIS": object()}, ["SESSION_REDIS is set", "not in this version", "leave it out"]),
    ({"SESSION_SQLALCHEMY_TABLE": "s"}, ["SESSION_SQLALCHEMY_TABLE is set", "not in this version", "leave it out"]),
    ({"SESSION_KEY_PREFIX": 5}, ["SESSION_KEY_PREFIX is 5", "write a str", "'shop:'"]),
    ({"SESSION_APPLICATION": ""}, ["SESSION_APPLICATION is ''", "write a short name such as 'shop'"]),
    # mistyped
    ({"SESSION_STOER": "memory:"}, ["SESSION_STOER is not a setting", "did you mean SESSION_STORE?"]),
    ({"SESSION_ABSOLUT": 60}, ["SESSION_ABSOLUT is not a setting", "did you mean SESSION_ABSOLUTE?"]),
    ({"SESSION_COOKIE_SECUER": True}, ["SESSION_COOKIE_SECUER is not", "did you mean SESSION_COOKIE_SECURE?"]),
    ({"SESSION_COOKIE_SAME_SITE": "Lax"}, ["did you mean SESSION_COOKIE_SAMESITE?"]),
    ({"SESSION_REFRESH_EACH_REQUESTS": False}, ["did you mean SESSION_REFRESH_EACH_REQUEST?"]),
    # the cookie
    ({"SESSION_COOKIE_SAMESITE": "foo"}, ["SameSite is 'foo'", "write 'Lax', 'Strict', 'None'"]),
    ({"SESSION_COOKIE_SAMESITE": False}, ["SameSite is False", "or None to leave it out"]),
    ({"SESSION_COOKIE_SAMESITE": "None"}, ["SameSite='None' works only with Secure", "SESSION_COOKIE_SECURE = True"]),
    ({"SESSION_COOKIE_NAME": "__Host-s"}, ["'__Host-s' without Secure", "SESSION_COOKIE_SECURE = True"]),
    (
        {"SESSION_COOKIE_NAME": "__Host-s", "SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_DOMAIN": "example.com"},
        ["'__Host-s' with a Domain", "SESSION_COOKIE_DOMAIN = None and SESSION_COOKIE_PATH = '/'"],
    ),
    ({"SESSION_COOKIE_DOMAIN": "example.com:5000"}, ["'example.com:5000' has a port", "write 'example.com'"]),
    ({"SESSION_COOKIE_DOMAIN": "http://example.com"}, ["'http://example.com'", "write 'example.com'"]),
    ({"SESSION_COOKIE_DOMAIN": "a b"}, ["the cookie domain 'a b' is not a host name", "'example.com', or None"]),
    ({"SESSION_COOKIE_NAME": "a b"}, ["the cookie name 'a b' is not allowed", "such as 'session'"]),
    ({"SESSION_COOKIE_NAME": "a=1; b"}, ["the cookie name 'a=1; b' is not allowed", "such as 'session'"]),
    ({"SESSION_COOKIE_PATH": "shop"}, ["the cookie path 'shop' is not allowed", "write an absolute one"]),
    # keys
    ({"SECRET_KEY_FALLBACKS": "the old key"}, ["SECRET_KEY_FALLBACKS is one string", "write a list"]),
    ({"SECRET_KEY": 123}, ["a secret key is a str or bytes", "int"]),
    # times
    ({"PERMANENT_SESSION_LIFETIME": "31 days"}, ["PERMANENT_SESSION_LIFETIME is '31 days'", "timedelta(days="]),
    ({"PERMANENT_SESSION_LIFETIME": None}, ["PERMANENT_SESSION_LIFETIME is None", "timedelta(days="]),
    ({"PERMANENT_SESSION_LIFETIME": 0}, ["PERMANENT_SESSION_LIFETIME is 0", "timedelta(days="]),
    ({"PERMANENT_SESSION_LIFETIME": timedelta(-1)}, ["PERMANENT_SESSION_LIFETIME is", "-1", "timedelta(days="]),
    ({"SESSION_ABSOLUTE": "90 days"}, ["absolute is '90 days'", "write a timedelta, or a number of seconds"]),
    ({"SESSION_ABSOLUTE": -1}, ["absolute is -1", "write a timedelta, or a number of seconds"]),
    ({"SESSION_RENEW_AFTER": 0}, ["renew_after is 0", "write a timedelta, or a number of seconds"]),
    # the rest of the policy
    ({"SESSION_IDENTITY_KEYS": "user"}, ["identity_keys is 'user'", "write a tuple", "('user_id',)"]),
    ({"SESSION_SEAL": "none"}, ["seal is 'none'", "write 'token' or 'server'"]),
    ({"SESSION_ALLOW_WEAK_SECRET": "no"}, ["allow_weak_secret is 'no'", "write True, False or None"]),
]


@pytest.mark.parametrize(("config", "words"), WRONG, ids=[" ".join(map(str, config)) for config, _ in WRONG])
def test_a_wrong_setting(bare_app: MakeApp, config: dict[str, Any], words: list[str]) -> None:
    """Wrong configuration fails at start-up, in one sentence that says what to write instead."""
    with pytest.raises(ConfigurationError) as raised:
        Session(bare_app(**config))
    assert [word for word in words if word not in str(raised.value)] == []


def test_a_password_in_a_store_url_is_not_shown(bare_app: MakeApp) -> None:
    """The error about a store URL names its scheme, never the password in it."""
    with pytest.raises(ConfigurationError) as raised:
        Session(bare_app(SESSION_STORE="redis://admin:hunter2@cache/0"))
    assert "hunter2" not in str(raised.value)


def test_a_wrong_argument(bare_app: MakeApp) -> None:
    """An argument of ``Session`` that cannot work is told in the same way as a key."""
    with pytest.raises(ConfigurationError, match="There is no store 'foo:'"):
        Session(bare_app(), store="foo:")
    with pytest.raises(ConfigurationError, match="write a short name such as 'shop'"):
        Session(bare_app(), application="")


def test_an_unknown_key_of_someone_elses_is_left_alone(make_app: MakeApp) -> None:
    """A ``SESSION_…`` key that resembles none of ours may belong to something else, and is no error."""
    assert make_app(SESSION_BANNER_COLOUR="red").test_client().get("/write").status_code == 200


def test_an_interface_on_a_class_says_it_at_the_first_use(bare_app: MakeApp) -> None:
    """An interface on a class meets the application's settings when a session is first used, and says the same then."""

    class Shop(Flask):
        session_interface = coatcheck.flask.SessionInterface()

    app = bare_app(Shop, SESSION_STOER="memory:", TESTING=True)
    add_views(app)
    with pytest.raises(ConfigurationError, match="did you mean SESSION_STORE"):
        app.test_client().get("/write")


# Weak secrets


WEAK = ["test", "XXXXX", "secret_key", "dev", b"dev"]


@pytest.mark.parametrize("secret", WEAK)
def test_weak_secrets_work_with_one_warning(make_app: MakeApp, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """Short or well-known secrets still work, with one clear warning that names the command that makes a good one."""
    app = make_app(SECRET_KEY=secret)
    client = app.test_client()
    client.get("/write")
    assert client.get("/read").text == "Ada"
    Session(app)
    (warning,) = caplog.messages
    assert warning.startswith("the secret key ")
    assert MAKES_A_GOOD_ONE in warning


@pytest.mark.parametrize("secret", WEAK)
def test_weak_secrets_are_refused_by_option(bare_app: MakeApp, secret: str) -> None:
    """A policy option refuses weak secrets, with the same command, and without repeating the secret."""
    with pytest.raises(ConfigurationError) as raised:
        Session(bare_app(SECRET_KEY=secret, SESSION_ALLOW_WEAK_SECRET=False))
    assert str(raised.value).startswith("the secret key ")
    assert MAKES_A_GOOD_ONE in str(raised.value)
    assert f"'{secret!s}'" not in str(raised.value)


def test_a_weak_secret_that_comes_late_is_refused_too(make_app: MakeApp) -> None:
    """A weak secret that is set after start-up is refused where it would first be used."""
    app = make_app(SECRET_KEY=None, SESSION_ALLOW_WEAK_SECRET=False, TESTING=True)
    app.secret_key = "dev"
    with pytest.raises(ConfigurationError, match="the secret key is a well-known example"):
        app.test_client().get("/write")


@pytest.mark.parametrize(("secret", "allow"), [("dev", True), (SECRET, None), (SECRET, False)])
def test_no_warning(make_app: MakeApp, secret: str, allow: bool | None, caplog: pytest.LogCaptureFixture) -> None:
    """``SESSION_ALLOW_WEAK_SECRET = True`` is silent about a weak secret; about a good one there is nothing to say."""
    make_app(SECRET_KEY=secret, SESSION_ALLOW_WEAK_SECRET=allow).test_client().get("/write")
    assert caplog.messages == []
