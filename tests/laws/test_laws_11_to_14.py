"""Laws 11 to 14 of DESIGN §3: what the outside may rely on."""

from __future__ import annotations

import ast
import dataclasses
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, make_response
from werkzeug.test import TestResponse, create_environ

import coatcheck
from coatcheck import records
from coatcheck.codec import encode
from coatcheck.errors import ConfigurationError, StoreError
from coatcheck.flask import Session, session
from coatcheck.stores import MemoryStore, Record
from coatcheck.testing import Clock
from tests.fine_print.website import SECRET, Answer, KeyedStore, View, Website, keep, who

# 11. Committed before answered


@pytest.mark.parametrize(
    ("view", "verb"),
    [(keep(a=1), "replace"), (lambda s: s.rotate(), "delete"), (lambda s: s.logout(), "delete"), (keep(b=1), "create")],
)
def test_law_11_committed_before_answered(site: Website, visitor: Answer, view: View, verb: str) -> None:
    """The first byte leaves after the store said yes."""
    order: list[str] = []
    site.store.after(verb, lambda: order.append("the store said yes"))
    cookie = "" if verb == "create" else f"session={visitor.cookie}"
    environ = create_environ("/", headers={"Cookie": cookie}) | {"view": lambda: view(session)}
    site.app(environ, lambda status, headers, exc=None: order.append("the answer begins"))
    assert order == ["the store said yes", "the answer begins"]


def down() -> None:
    raise StoreError("the store is down")


@pytest.mark.parametrize(
    ("verb", "view"),
    [
        ("read", dict),
        ("read", keep(b=1)),
        ("replace", keep(b=1)),
        ("create", lambda s: s.rotate()),
        ("create", lambda s: s.login("bob")),
        ("delete", lambda s: s.logout()),
    ],
)
def test_law_11_a_store_that_is_down_is_an_error(site: Website, verb: str, view: View) -> None:
    """A store that is down gives the error the policy names; it never silently forgets, never logs anybody else in."""
    ann = site.visit(lambda session: (session.login("ann"), session.update(a=1)))
    site.store.before(verb, down)
    answer = site.visit(view, ann.cookie)
    assert (answer.status, answer.set_cookies) == (503, [])
    assert (site.visit(who, ann.cookie).value, site.look(ann.cookie)) == ("ann", {"a": 1})


def test_law_11_a_store_that_is_down_makes_nobody_anonymous(site: Website) -> None:
    """… never silently forgets: a view whose session cannot be read does not go on with an empty one."""
    ann = site.visit(lambda session: session.login("ann"))
    went_on: list[object] = []
    site.store.before("read", down)
    site.visit(lambda session: went_on.append(session.logged_in_as), ann.cookie)
    assert went_on == []


# 12. Caches are told


def respond(site: Website, cookie: str | None, view: Any) -> TestResponse:
    """Send one request, answered by what ``view`` returns, and return the response with all its headers."""
    site.app.view_functions["_view"] = view
    headers = {} if cookie is None else {"Cookie": f"session={cookie}"}
    return site.app.test_client(use_cookies=False).get("/", headers=headers)


ACCESSES: dict[str, View] = {
    "get": lambda s: s.get("cart"),
    "in": lambda s: "cart" in s,
    "len": len,
    "bool": bool,
    "iterate": list,
    "compare": lambda s: s == {},
    "repr": repr,
    "permanent": lambda s: s.permanent,
    "logged_in_as": lambda s: s.logged_in_as,
    "write": keep(a=1),
    "clear": lambda s: s.clear(),
    "login": lambda s: s.login("ann"),
}


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("known", [True, False])
def test_law_12_caches_are_told(site: Website, visitor: Answer, access: str, known: bool) -> None:
    """`Vary: Cookie` on whatever a session influenced, by any kind of access, with a cookie and without."""

    def view() -> str:
        ACCESSES[access](session)
        return "done"

    assert respond(site, visitor.cookie if known else None, view).headers["Vary"] == "Cookie"


def test_law_12_caches_are_told_on_errors(site: Website, visitor: Answer) -> None:
    """… on whatever a session influenced: an error page and a 503 too, beside what the application varies by."""

    def view() -> str:
        dict(session)
        abort(404)

    def accept() -> Response:
        dict(session)
        response = make_response("done")
        response.vary.add("Accept-Language")
        return response

    assert respond(site, visitor.cookie, view).headers["Vary"] == "Cookie"
    assert set(respond(site, visitor.cookie, accept).vary) == {"Accept-Language", "Cookie"}
    site.store.before("read", down)
    unavailable = respond(site, visitor.cookie, view)
    assert (unavailable.status_code, unavailable.headers["Vary"]) == (503, "Cookie")


@pytest.mark.parametrize("said", [None, "public", "public, max-age=600", "s-maxage=600", "max-age=60, s-maxage=600"])
@pytest.mark.parametrize("access", ["write", "clear", "login"])
def test_law_12_a_session_cookie_is_never_publicly_cacheable(
    site: Website, visitor: Answer, said: str | None, access: str
) -> None:
    """A response that sets a session cookie is never publicly cacheable, whatever the view said (CVE-2024-26144)."""

    def view() -> Response:
        ACCESSES[access](session)
        return Response("done", headers={} if said is None else {"Cache-Control": said})

    response = respond(site, visitor.cookie, view)
    assert "Set-Cookie" in response.headers
    assert response.cache_control.private is True
    assert (response.cache_control.public, response.cache_control.s_maxage) == (False, None)


def test_law_12_a_refreshed_cookie_is_never_publicly_cacheable(site: Website, clock: Clock) -> None:
    """… the cookie of a session that is only refreshed too (CVE-2023-30861, CVE-2026-35192)."""
    visitor = site.visit(lambda session: (setattr(session, "permanent", True), session.update(a=1)))
    clock.advance(60)
    response = respond(site, visitor.cookie, lambda: Response("done", headers={"Cache-Control": "public"}))
    assert "Set-Cookie" in response.headers
    assert (response.headers["Vary"], response.headers["Cache-Control"]) == ("Cookie", "private")


# 13. Wrong configuration fails at start-up


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"SESSION_STORE": "sqlite"}, "has no scheme: write 'sqlite:///sessions.db'"),
    ({"SESSION_STORE": "redis://localhost"}, "not in this version .*: write 'sqlite:///sessions.db'"),
    ({"SESSION_STORE": 7}, "the store is a int; write a URL such as"),
    ({"SESSION_STORE": MemoryStore}, "the store is the class MemoryStore; write an object"),
    ({"SESSION_TYPE": "redis"}, "'redis' is not in this version of coatcheck yet; leave it out"),
    ({"SESSION_TYPE": "cloud"}, "SESSION_TYPE is 'cloud'; write "),
    ({"SESSION_STOER": "memory:"}, "did you mean SESSION_STORE"),
    ({"SESSION_KEY_PREFIX": 7}, "SESSION_KEY_PREFIX is 7; write a str"),
    ({"SESSION_APPLICATION": ""}, "SESSION_APPLICATION is ''; write a short name"),
    ({"SESSION_ABSOLUTE": "a day"}, "absolute is 'a day'; write a timedelta"),
    ({"PERMANENT_SESSION_LIFETIME": 0}, "PERMANENT_SESSION_LIFETIME is 0; write a timedelta"),
    ({"SESSION_RENEW_AFTER": 0}, "renew_after is 0; write a timedelta"),
    ({"SESSION_IDENTITY_KEYS": "user"}, "identity_keys is 'user'; write a tuple"),
    ({"SESSION_SEAL": "no"}, "seal is 'no'; write 'token' or 'server'"),
    ({"SECRET_KEY": "dev", "SESSION_ALLOW_WEAK_SECRET": False}, "the secret key is a well-known.*make a good one with"),
    ({"SECRET_KEY_FALLBACKS": "one string"}, r"write a list: \[old_key\]"),
    ({"SESSION_COOKIE_NAME": "my session"}, "the cookie name 'my session' is not allowed; write"),
    ({"SESSION_COOKIE_PATH": "shop"}, "the cookie path 'shop' is not allowed; write"),
    ({"SESSION_COOKIE_DOMAIN": "localhost:5000"}, "has a port, and cookies do not know ports; write 'localhost'"),
    ({"SESSION_COOKIE_SAMESITE": "None"}, "set SESSION_COOKIE_SECURE = True"),
    ({"SESSION_COOKIE_NAME": "__Host-session"}, "set SESSION_COOKIE_SECURE = True"),
]


@pytest.mark.parametrize(("config", "sentence"), WRONG, ids=[" ".join(config) for config, _ in WRONG])
def test_law_13_wrong_configuration_fails_at_start_up(config: dict[str, Any], sentence: str) -> None:
    """Wrong configuration fails at start-up, in one sentence that says what to write instead."""
    app = Flask("shop")
    app.config.update({"SECRET_KEY": SECRET} | config)
    with pytest.raises(ConfigurationError, match=sentence):
        Session(app)


def test_law_13_a_missing_secret_key_behaves_as_in_flask(store: KeyedStore, clock: Clock) -> None:
    """… a missing SECRET_KEY behaves as in Flask: no error before something is written."""
    site = Website(store, clock, SECRET_KEY=None)
    assert site.look("A" * 43) == {}
    with pytest.raises(RuntimeError, match="no secret key was set"):
        site.visit(keep(a=1))


def test_law_13_a_store_is_not_contacted_at_start_up(store: KeyedStore, clock: Clock, tmp_path: Path) -> None:
    """… a store is not contacted at start-up."""
    Website(store, clock)
    assert store.calls == []
    app = Flask("shop", instance_path=str(tmp_path / "instance"))
    app.secret_key = SECRET
    Session(app)
    assert list(tmp_path.iterdir()) == []


# 14. Nothing is unpickled

SOURCES = sorted(Path(coatcheck.__file__).parent.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the first part of the name of each module that a file imports from outside."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


def test_law_14_nothing_is_unpickled_by_any_import() -> None:
    """No module that makes objects or code of bytes is ever imported, and no such function called."""
    assert len(SOURCES) > 20
    makers = {"pickle", "_pickle", "dill", "cloudpickle", "jsonpickle", "joblib", "marshal", "shelve", "yaml"}
    for path in SOURCES:
        assert not makers & set(imports(path)), path
        names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        assert not {"eval", "exec", "compile", "__import__"} & names, path


def test_law_14_randomness_is_the_operating_systems() -> None:
    """`random` is never imported, and `uuid` by the codec only, for values (ASVS 5.0 7.2.3, 11.5.1)."""
    for path in SOURCES:
        assert "random" not in set(imports(path)), path
        assert "uuid" not in set(imports(path)) or path.name.startswith("codec"), path


def test_law_14_no_token_is_compared() -> None:
    """No secret is compared with `==`, `!=` or `in`, whose time tells how far two agree (CVE-2019-16782).

    A token is looked up by its hash, and a seal is checked by the cipher. So in no comparison of the source is there a
    name of which a part says that it is a secret, unless it is compared with a literal, which none is.
    """
    secrets = {"token", "secret", "tag", "digest", "signature", "mac"}
    for path in SOURCES:
        for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Compare)):
            operands = [node.left, *node.comparators]
            if isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn) and not any(map(is_literal, operands)):
                words = {word for operand in operands for word in name_of(operand).split("_")}
                assert not secrets & words, f"{path}:{node.lineno}: {ast.unparse(node)}"


def name_of(node: ast.expr) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


def is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and all(map(is_literal, node.elts)))


exploded: list[str] = []


def explode(how: str) -> None:
    exploded.append(how)


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ("unpickled",)


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(pickle.dumps(Bomb()), id="a pickle"),
        pytest.param(b"\x01" + pickle.dumps(Bomb()), id="a pickle behind our version byte"),
        pytest.param(encode({"user_id": 1}), id="MessagePack that nobody sealed"),
        pytest.param(encode([b"h" * 12, 0, 2**40, encode({"user_id": 1}), "ann"]), id="the inside of a record"),
        pytest.param(b'{"user_id": 1}', id="JSON"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_law_14_what_is_planted_is_inert(
    site: Website, visitor: Answer, planted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte is parsed before it is authenticated: what somebody plants in the store is a clean miss."""
    parsed: list[bytes] = []
    monkeypatch.setattr(records, "decode", lambda data: parsed.append(data))
    record = site.store.store.read(site.key(visitor.cookie), site.clock())
    assert isinstance(record, Record)
    forged = dataclasses.replace(record, data=planted, meta=planted)
    site.store.store.replace(site.key(visitor.cookie), forged, record.version, site.clock())
    for view in (dict, who, lambda session: session.logout()):
        answer = site.visit(view, visitor.cookie)
        assert (answer.status, answer.value or None, answer.set_cookies) == (200, None, [])
    assert parsed == []
    assert exploded == []
