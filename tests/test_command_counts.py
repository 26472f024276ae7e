"""DESIGN §9, store commands: untouched 0, read 1, write 2, unchanged 1, refresh 2, rotate and login 3.

A conflict or a pointer adds one or two. Purge, at most once a minute beside a create, is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from coatcheck.flask import Session, session
from coatcheck.policy import Policy
from coatcheck.stores import MemoryStore, SQLiteStore
from coatcheck.testing import Clock
from tests.support.watched_store import WatchedStore

Visit = Callable[..., list[str]]


@pytest.fixture(params=["memory", "SQLite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> WatchedStore:
    return WatchedStore(MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(store: WatchedStore, clock: Clock, tmp_path: Path) -> Flask:
    """An app with a static file, and one view, which uses the session as the test says."""
    (tmp_path / "style.css").write_text("body { color: black }")
    app = Flask("counted", static_folder=tmp_path)
    app.secret_key = "The secret key of an app whose store commands are counted"
    Session(app, store=store, policy=Policy(renew_after=3600), clock=clock)
    app.extensions["act"] = lambda: None

    @app.get("/")
    def view() -> str:
        app.extensions["act"]()
        return ""

    return app


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def visit(app: Flask, browser: FlaskClient, store: WatchedStore) -> Visit:
    """Send a request whose view does what is given, and return the store commands that it took."""

    def send(act: Callable[[], object] = lambda: None, path: str = "/") -> list[str]:
        app.extensions["act"] = act
        before = len(store.calls)
        browser.get(path).close()
        return store.calls[before:]

    return send


@pytest.fixture
def visit_between(app: Flask, browser: FlaskClient, store: WatchedStore) -> Callable[[str], list[str]]:
    """Put another request of the same browser right before the next command of a kind; return what it will take."""

    def plan(verb: str) -> list[str]:
        cookie = browser.get_cookie("session")
        assert cookie is not None
        calls: list[str] = []

        def visit() -> None:
            before = len(store.calls)
            app.extensions["act"] = lambda: session.update(other=True)
            app.test_client(use_cookies=False).get("/", headers={"Cookie": f"session={cookie.value}"})
            calls.extend(store.calls[before:])

        store.before(verb, visit)
        return calls

    return plan


def read() -> object:
    return session.get("hits")


def write() -> None:
    session["hits"] = session.get("hits", 0) + 1


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/not-found"])
@pytest.mark.parametrize("permanent", [False, True])
def test_an_untouched_session_costs_nothing(visit: Visit, path: str, permanent: bool) -> None:
    """Untouched 0: no store command with or without a cookie, for a view, a static file or a 404."""
    assert visit(path=path) == []
    visit(lambda: session.update(hits=1, _permanent=permanent))
    assert visit(path=path) == []


def test_reading_without_a_cookie_costs_nothing(visit: Visit) -> None:
    """Where there is no cookie there is nothing to look up, and reading creates nothing."""
    assert visit(read) == []


def test_the_first_write_of_a_new_session_is_one_create(visit: Visit) -> None:
    """The first write of a new session is one create, without a read."""
    assert visit(write) == ["create"]


@pytest.mark.parametrize("first", [write, lambda: session.login("ann")])
def test_reading_is_one_round_trip_a_change_one_more_and_there_is_no_third(
    visit: Visit, first: Callable[[], None]
) -> None:
    """Read 1, write 2, however often the view reads and writes."""
    visit(first)
    assert visit(lambda: (read(), read(), len(session), list(session))) == ["read"]
    assert visit(lambda: (write(), write(), session.setdefault("cart", []).append("pear"))) == ["read", "replace"]
    assert visit(lambda: session.atomic(lambda s: s.update(hits=0))) == ["read", "replace"]


def test_unchanged_is_unwritten(visit: Visit) -> None:
    """Unchanged 1: assigning an equal value, or changing one and back, writes nothing."""
    visit(lambda: session.update(hits=1, cart=["pear"]))
    assert visit(lambda: session.update(hits=1, cart=["pear"])) == ["read"]
    assert visit(lambda: (session["cart"].append("fig"), session["cart"].pop())) == ["read"]


def test_a_refresh_is_a_read_and_a_touch(visit: Visit, clock: Clock) -> None:
    """Refresh 2, only when min(60 s, idle/10) have gone by; for a permanent session on an untouched request too."""
    visit(write)
    clock.advance(59)
    assert visit(read) == ["read"]
    clock.advance(1)
    assert visit(read) == ["read", "touch"]
    visit(lambda: session.update(_permanent=True))
    clock.advance(59)
    assert visit() == []
    clock.advance(1)
    assert visit() == ["read", "touch"]
    assert visit() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda: session.login("ann"),
        lambda: session.rotate(),
        lambda: (session.rotate(), write()),
        lambda: session.update(user_id=1),  # an identity key rotates by itself
        lambda: (session.clear(), write()),
    ],
    ids=["login", "rotate", "rotate and write", "identity key", "clear and write"],
)
def test_a_new_token_takes_three(visit: Visit, act: Callable[[], object]) -> None:
    """Rotate and login 3: read, create, delete; and so does the login recipe of Flask, clear and then set."""
    visit(write)
    assert visit(act) == ["read", "create", "delete"]
    assert visit(read) == ["read"]


def test_ending_a_session_takes_two(visit: Visit) -> None:
    """Logout 2, and so does removing all that there is; once it has ended there is no cookie, and nothing to ask."""
    for end in (lambda: session.logout(), lambda: session.pop("hits")):
        visit(write)
        assert visit(end) == ["read", "delete"]
        assert visit(read) == []


def test_a_renewal_takes_three_and_its_pointer_adds_one(visit: Visit, browser: FlaskClient, clock: Clock) -> None:
    """A renewal is read, create, replace; with the old token there is one more record to read."""
    visit(write)
    old = browser.get_cookie("session")
    assert old is not None
    clock.advance(3600)
    assert visit(read) == ["read", "create", "replace"]
    browser.set_cookie("session", old.value)
    assert visit(read) == ["read", "read"]
    browser.set_cookie("session", old.value)
    assert visit(write) == ["read", "read", "replace"]


@pytest.mark.parametrize(
    ("act", "verb"),
    [
        (write, "replace"),
        (lambda: session.rotate(), "delete"),
        (lambda: session.login("ann"), "delete"),
        (lambda: session.logout(), "delete"),
        (lambda: session.pop("hits"), "delete"),
    ],
    ids=["write", "rotate", "login", "logout", "pop"],
)
def test_a_conflict_adds_one_or_two(
    visit: Visit, visit_between: Callable[[str], list[str]], act: Callable[[], object], verb: str
) -> None:
    """Another request that saves a change right before this one does costs it at most two commands more."""
    visit(write)
    undisturbed = visit(act)
    visit(write)
    others = visit_between(verb)
    disturbed = visit(act)
    assert others == ["read", "replace"]
    assert len(undisturbed) < len(disturbed) - len(others) <= len(undisturbed) + 2
