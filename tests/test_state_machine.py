"""Any order of visits, against a plain model: several browsers, old cookies, slow requests, new keys, time going by.

The model knows each :class:`Life` and never lets one that is over be read again. So no divergence means, among the
rest, that *an ended session is never readable again* (law 2).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.ctx import RequestContext
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from coatcheck.flask import Session, session
from coatcheck.policy import Policy
from coatcheck.stores import TOMBSTONE_SECONDS, MemoryStore, SQLiteStore, Store
from coatcheck.testing import Clock

DAY = 86_400
LIFETIME, REMEMBERED = 2 * DAY, 3 * DAY
ABSOLUTE = REMEMBERED + 3600  # so that it shows soon whether a login has restarted it
TOUCH_INTERVAL = 60
HOPS = 8
BROWSERS = 3

Values = dict[str, Any]
Op = Callable[[Any], object]  # called with the session, and with the model's view of it


# The model


@dataclass(eq=False)
class Life:
    """What the model knows of a session while it has one token."""

    values: Values
    user: str | None
    lifetime: int | None
    ends_at: float
    secret: str
    last_seen: float
    expires_at: float = 0
    over_since: float | None = None
    went_to: Life | None = None
    note_secret: str = ""
    writes: int = 0
    handle: str | None = None


class View(dict[str, Any]):
    """What a request sees and asks for, done in memory.

    :param life: the live session of its cookie; if there is none, ``moved`` is the one to which its token was rotated.
    """

    def __init__(self, life: Life | None, moved: Life | None = None) -> None:
        super().__init__({} if life is None else deepcopy(life.values))
        self.life = life
        self.moved = moved
        self.loaded = None if life is None else replace(life, values=deepcopy(life.values))
        self.user = None if life is None else life.user
        self.steps: list[tuple[Values, Op, Values]] = []
        self.cleared = self.rotates = self.proved_again = False
        self.login_as: str | None = None
        self.lifetime: int | None = None

    @property
    def logged_in_as(self) -> str | None:
        return self.user

    def clear(self) -> None:
        super().clear()
        self.cleared = self.life is not None or self.moved is not None
        self.user = self.login_as = None
        self.rotates = self.proved_again = False
        self.steps = []

    logout = clear

    def login(self, user: str, remember: int | None = None) -> None:
        if self.user not in (None, user):
            self.clear()
        self.user = self.login_as = user
        self.lifetime = remember
        if remember is not None:
            self["_permanent"] = True

    def rotate(self) -> None:
        self.rotates = True

    def reauthenticated(self) -> None:
        self.rotates = self.proved_again = True

    def atomic(self, function: Op) -> None:
        before = deepcopy(dict(self))
        function(self)
        self.steps.append((before, function, deepcopy(dict(self))))

    def onto(self, theirs: Values) -> Values:
        """Return ``theirs`` with what this request did."""
        base: Values = {} if self.loaded is None else self.loaded.values
        for before, function, after in self.steps:
            theirs = with_changes(theirs, base, before)
            function(theirs)
            base = after
        return with_changes(theirs, base, self)

    def identity_changes(self) -> bool:
        """Say whether the one identity key that is used here goes from nothing to a value, or to another value."""
        was = {} if self.loaded is None else self.loaded.values
        return bool(self.get("user_id")) and self["user_id"] != was.get("user_id")


def with_changes(theirs: Values, base: Values, mine: Values) -> Values:
    merged = deepcopy(theirs)
    for key in [*base, *mine]:
        if key not in mine:
            merged.pop(key, None)
        elif key not in base or spelt(mine[key]) != spelt(base[key]):
            merged[key] = deepcopy(mine[key])
    return merged


def spelt(value: object) -> str:
    """Return ``value`` so that 1 and True differ, and two dicts of another order."""
    return json.dumps(value)


def holds_something(values: Values) -> bool:
    return bool(values.keys() - {"_permanent"})


# What views do


def write(key: str, value: object) -> Op:
    return lambda s: s.update({key: value})


def count(values: Values) -> None:
    values["hits"] = values.get("hits", 0) + 1


def remove_all(s: Any) -> None:
    for key in list(s):
        del s[key]


def prove_again(s: Any) -> None:
    if s.logged_in_as is not None:
        s.reauthenticated()


SLOW_OPS: list[Op] = [
    *(write(key, value) for key in "abc" for value in range(3)),
    lambda s: s.pop("a", None),
    lambda s: s.atomic(count),
    lambda s: s.atomic(count),
    lambda s: s.login("ann"),
    lambda s: s.login("bob", remember=REMEMBERED),
    lambda s: s.logout(),
    lambda s: s.clear(),
    lambda s: s.rotate(),
    prove_again,
    remove_all,
    write("_permanent", True),
    write("_permanent", False),
    write("user_id", 1),
    write("user_id", None),
]
OPS: list[Op] = [
    *SLOW_OPS,
    # Merging nested values has tests of its own; here they are changed where no other request comes in between.
    lambda s: s.setdefault("cart", []).append("pear"),
    lambda s: s.setdefault("shelf", {}).setdefault("fruit", {}).update(pear=len(s)),
    lambda s: s.setdefault("cart", ["fig"]).pop() if s.get("cart") else None,
]


ANY_TIME = st.sampled_from([1, 59, 60, TOMBSTONE_SECONDS, DAY // 2, DAY - 1, DAY, LIFETIME, REMEMBERED])
ANY_BROWSER = st.integers(0, BROWSERS - 1)
ANY_OPS = st.lists(st.sampled_from(OPS), max_size=3)
ANY_SLOW_OPS = st.lists(st.sampled_from(SLOW_OPS), max_size=3)


@dataclass
class Request:
    """One that has read its session."""

    browser: int
    context: RequestContext
    view: View
    cookie: str | None


class Visits(RuleBasedStateMachine):
    """Visits to an app on ``store``, done for real and by the model."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.clock = Clock()
        self.secrets = ["0 is the first of the secret keys, long enough"]
        self.dropped: list[str] = []
        self.act: Callable[[], None] = lambda: None
        self.app = self.make_app(store)
        self.jars: list[str | None] = [None] * BROWSERS
        self.cookies: list[str] = []
        self.lives: dict[str, Life] = {}
        self.slow: list[Request] = []

    def make_app(self, store: Store) -> Flask:
        app = Flask("visited")
        app.secret_key = self.secrets[0]
        app.config["PERMANENT_SESSION_LIFETIME"] = LIFETIME
        Session(app, store=store, policy=Policy(absolute=ABSOLUTE), clock=self.clock)

        @app.get("/")
        def view() -> str:
            self.act()
            return ""

        return app

    # What happens

    @rule(browser=ANY_BROWSER, ops=ANY_OPS)
    def visit(self, browser: int, ops: list[Op]) -> None:
        self.finish(self.begin(browser), ops)

    @rule(browser=ANY_BROWSER)
    def begin_slowly(self, browser: int) -> None:
        self.slow.append(self.begin(browser))

    @precondition(lambda self: self.slow)
    @rule(which=st.integers(0, 99), ops=ANY_SLOW_OPS)
    def finish_slowly(self, which: int, ops: list[Op]) -> None:
        self.finish(self.slow.pop(which % len(self.slow)), ops)

    @rule(browser=ANY_BROWSER, ops=st.none() | ANY_OPS, seconds=st.just(0) | ANY_TIME, slow_ops=ANY_SLOW_OPS)
    def visit_slowly(self, browser: int, ops: list[Op] | None, seconds: float, slow_ops: list[Op]) -> None:
        """A visit during which there may be another one by the same browser, or time may go by."""
        slow = self.begin(browser)
        if ops is not None:
            self.visit(browser, ops)
        self.wait(seconds)
        self.finish(slow, slow_ops)

    @rule(browser=ANY_BROWSER)
    def visit_a_page_that_uses_no_session(self, browser: int) -> None:
        cookie = self.jars[browser]
        life = self.find(cookie)
        due = cookie is not None and "." in cookie and self.clock() - int(cookie.split(".")[1]) >= TOUCH_INTERVAL
        if life is not None and due and life.values.get("_permanent"):
            self.touch(View(life))
        else:
            life = None
        self.act = lambda: None
        set_cookie = self.app.test_client(use_cookies=False).get("/", headers=headers(cookie)).headers.get("Set-Cookie")
        assert (set_cookie is not None) == (life is not None)
        if set_cookie is not None:
            self.receive(browser, set_cookie, cookie)

    @precondition(lambda self: self.cookies)
    @rule(browser=ANY_BROWSER, which=st.integers(0, 999))
    def take_an_old_cookie(self, browser: int, which: int) -> None:
        self.jars[browser] = self.cookies[which % len(self.cookies)]

    @rule(seconds=ANY_TIME)
    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def take_a_new_secret_key(self) -> None:
        self.secrets.insert(0, f"{len(self.secrets) + len(self.dropped)} is another secret key, long enough")
        self.use_the_secrets()

    @precondition(lambda self: len(self.secrets) > 1)
    @rule()
    def drop_the_oldest_secret_key(self) -> None:
        self.dropped.append(self.secrets.pop())
        self.use_the_secrets()
        self.slow.clear()  # what they opened they could still write: they do not finish

    @precondition(lambda self: self.dropped)
    @rule()
    def put_a_dropped_secret_key_back(self) -> None:
        self.secrets.append(self.dropped.pop())
        self.use_the_secrets()

    def use_the_secrets(self) -> None:
        self.app.secret_key, *fallbacks = self.secrets
        self.app.config["SECRET_KEY_FALLBACKS"] = fallbacks

    def teardown(self) -> None:
        """At the end, look through every cookie there ever was."""
        for cookie in self.cookies:
            self.jars[0] = cookie
            self.begin(0)

    # One request

    def begin(self, browser: int) -> Request:
        """Read the session, and compare."""
        cookie = self.jars[browser]
        life = self.find(cookie)
        view = View(life, None if life or cookie is None else self.onward(self.lives[token(cookie)]))
        context = self.app.test_request_context(headers=headers(cookie))
        with context:
            self.compare(view)
        return Request(browser, context, view, cookie)

    def finish(self, request: Request, ops: list[Op]) -> None:
        """Do what the view does, commit, and compare."""

        def act() -> None:
            for op in ops:
                op(session)
                op(request.view)
            self.compare(request.view)

        self.act = act
        with request.context:
            response = self.app.full_dispatch_request()
            handle = session.handle
        stored, fate = self.commit(request.view)
        set_cookie = response.headers.get("Set-Cookie")
        if fate == "new token":
            assert stored is not None
            assert set_cookie is not None
            assert token(set_cookie) not in self.lives
            assert handle is not None
            assert handle == stored.handle or stored.handle is None
            stored.handle = handle
            self.lives[token(set_cookie)] = stored
            self.receive(request.browser, set_cookie, None)
        elif fate == "deleted":
            assert set_cookie is not None
            assert set_cookie.startswith("session=; ")
            self.jars[request.browser] = None
        elif fate == "nothing":
            assert set_cookie is None
        elif set_cookie is not None:
            self.receive(request.browser, set_cookie, request.cookie)

    def receive(self, browser: int, set_cookie: str, same_as: str | None) -> None:
        if same_as is not None:
            assert token(set_cookie) == token(same_as)
        value = set_cookie.removeprefix("session=").partition(";")[0]
        self.jars[browser] = value
        self.cookies.append(value)

    def compare(self, view: View) -> None:
        life = None if view.cleared else view.loaded
        assert spelt(dict(session)) == spelt(view)
        assert session.logged_in_as == view.user
        assert session.new == (life is None)
        if life is None:
            assert (session.handle, session.expires_at) == (None, None)
        else:
            assert session.expires_at is not None
            assert (session.handle, session.expires_at.timestamp()) == (life.handle, life.expires_at)

    # The model's store

    def find(self, cookie: str | None) -> Life | None:
        life = None if cookie is None else self.lives[token(cookie)]
        return life if life is not None and self.is_live(life) and life.secret in self.secrets else None

    def is_live(self, life: Life) -> bool:
        return life.over_since is None and self.clock() < life.expires_at

    def commit(self, view: View) -> tuple[Life | None, str]:
        """Carry out what a request asks for: what it came to, and what becomes of the cookie."""
        life = view.life
        if life is None or view.cleared:
            is_stored = holds_something(view) or view.login_as is not None
            stored = self.start(view, deepcopy(dict(view))) if is_stored else None
            ended = view.cleared and self.end(view)
            return stored, "new token" if stored else "deleted" if ended else "nothing"
        assert view.loaded is not None
        changed = spelt(view) != spelt(view.loaded.values)
        if view.login_as is not None or view.rotates or (changed and view.identity_changes()):
            return self.rotate(life, view)
        if changed:
            return self.write(life, view)
        self.touch(view)
        return life, "the same"

    def start(self, view: View, values: Values) -> Life:
        now = self.clock()
        life = Life(values, view.login_as, view.lifetime, now + ABSOLUTE, self.secrets[0], now)
        return self.store(life, values)

    def store(self, life: Life, values: Values) -> Life:
        life.values = values
        life.secret = self.secrets[0]
        life.writes += 1
        life.last_seen = self.clock()
        life.expires_at = self.expiry(life, values)
        return life

    def expiry(self, life: Life, values: Values) -> float:
        lifetime = DAY if not values.get("_permanent") else LIFETIME if life.lifetime is None else life.lifetime
        return min(self.clock() + lifetime, life.ends_at)

    def end(self, view: View) -> bool:
        """End a session wherever it went, and say whether it was live."""
        life, hops = (view.moved, 1) if view.life is None else (view.life, 0)
        while life is not None and hops <= HOPS:
            if life.over_since is None:
                was_live = self.is_live(life)
                life.over_since = self.clock()
                return was_live
            life, hops = self.onward(life), hops + 1
        return False

    def onward(self, life: Life) -> Life | None:
        """Follow the note in the tombstone of a session, if it stands and can be read."""
        stands = life.over_since is not None and self.clock() < life.over_since + TOMBSTONE_SECONDS
        return life.went_to if stands and life.note_secret in self.secrets else None

    def rotate(self, life: Life, view: View) -> tuple[Life | None, str]:
        if not self.is_live(life):
            if view.login_as is None:
                return None, "nothing"
            own_writes = view.onto({}) | ({} if view.lifetime is None else {"_permanent": True})
            return self.start(view, own_writes), "new token"
        rotated, values = replace(life, over_since=None), self.merged(life, view)
        if view.login_as is not None:
            rotated.user, rotated.lifetime = view.login_as, view.lifetime
        if view.login_as is not None or (view.proved_again and life.user is not None):
            rotated.ends_at = self.clock() + ABSOLUTE
        life.over_since = self.clock()
        if not holds_something(values) and rotated.user is None:
            return None, "deleted"
        life.went_to, life.note_secret = rotated, self.secrets[0]
        return self.store(rotated, values), "new token"

    def write(self, life: Life, view: View) -> tuple[Life | None, str]:
        if not self.is_live(life):
            return None, "nothing"
        values = self.merged(life, view)
        if spelt(values) == spelt(life.values):
            return life, "the same"
        if holds_something(values) or life.user is not None:
            return self.store(life, values), "the same"
        life.over_since = self.clock()
        return None, "deleted"

    def merged(self, life: Life, view: View) -> Values:
        assert view.loaded is not None
        alone = life.writes == view.loaded.writes
        return deepcopy(dict(view)) if alone else view.onto(life.values)

    def touch(self, view: View) -> None:
        life, loaded = view.life, view.loaded
        assert life is not None
        assert loaded is not None
        if self.clock() - loaded.last_seen >= TOUCH_INTERVAL and self.is_live(life):
            life.last_seen = self.clock()
            life.expires_at = max(life.expires_at, self.expiry(life, view))


def headers(cookie: str | None) -> dict[str, str]:
    return {} if cookie is None else {"Cookie": f"session={cookie}"}


def token(cookie: str) -> str:
    """Return the token in a cookie's value or a Set-Cookie header."""
    return cookie.removeprefix("session=")[:43]


@pytest.mark.parametrize(("kind", "examples"), [("memory", 200), ("SQLite", 60)])
def test_no_divergence_from_the_model(kind: str, examples: int, tmp_path: Path) -> None:
    """Whatever visitors do, they see what the model says; and an ended session is never readable again."""
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "sessions.db")

    class OnThisStore(Visits):
        def __init__(self) -> None:
            super().__init__(store)

    run_state_machine_as_test(OnThisStore, settings=settings(max_examples=examples, stateful_step_count=50))
