"""Laws 1 to 6 of DESIGN §3: nothing is lost, nothing comes back, nothing is written for nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from coatcheck.stores import Record
from coatcheck.testing import Clock
from coatcheck.tokens import SessionToken
from tests.fine_print.website import Answer, KeyedStore, View, Website, keep

DAY = 86_400.0


def permanent(session: Any) -> None:
    session.permanent = True
    session["cart"] = ["apple"]


# 1. No lost update


def test_law_01_no_lost_update_to_different_keys(site: Website, visitor: Answer) -> None:
    """The changes that overlapping requests make to different keys all survive."""
    others = [lambda n=n: site.visit(keep(**{f"key{n}": n}), visitor.cookie) for n in range(10)]
    site.store.before_each("replace", *others)
    site.visit(keep(mine=1), visitor.cookie)
    assert site.look(visitor.cookie) == {"cart": ["apple"], "mine": 1, **{f"key{n}": n for n in range(10)}}


def test_law_01_no_lost_update_to_one_key(site: Website, visitor: Answer) -> None:
    """To the same key: the later commit wins."""
    site.store.before("replace", lambda: site.visit(keep(name="earlier"), visitor.cookie))
    site.visit(keep(name="later"), visitor.cookie)
    assert site.look(visitor.cookie)["name"] == "later"


def test_law_01_no_lost_update_atomic_is_exact(site: Website, visitor: Answer) -> None:
    """`session.atomic(fn)` is exact: 100 overlapping increments give 100."""
    all_have_read = Barrier(100, timeout=60)

    def increment(session: Any) -> None:
        dict(session)
        all_have_read.wait()
        session.atomic(lambda values: values.update(hits=values.get("hits", 0) + 1))

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda _: site.visit(increment, visitor.cookie), range(100)))
    assert {answer.status for answer in answers} == {200}
    assert site.look(visitor.cookie)["hits"] == 100


# 2. No resurrection


ENDS: dict[str, View] = {
    "logout": lambda session: session.logout(),
    "clear": lambda session: session.clear(),
    "rotation of its token": lambda session: session.rotate(),
    "login": lambda session: session.login("ann"),
}
ATTEMPTS: dict[str, View] = {
    "a late write": keep(late=1),
    "a late nested change": lambda session: session["cart"].append("late"),
    "a late atomic change": lambda session: session.atomic(lambda values: values.update(late=1)),
    "a late rotation": lambda session: session.rotate(),
    "a late touch": lambda session: None,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_law_02_no_resurrection_by_a_late_request(site: Website, clock: Clock, end: str, attempt: str) -> None:
    """Once ended, nothing brings a session back: no late commit, and no late touch (CVE-2025-46336)."""
    visitor = site.visit(permanent)
    clock.advance(60)  # so that a touch is due

    def view(session: Any) -> set[bytes]:
        dict(session)
        site.visit(ENDS[end], visitor.cookie)
        ATTEMPTS[attempt](session)
        return site.store.live(clock())

    late = site.visit(view, visitor.cookie)
    assert late.set_cookies == []
    assert site.store.live(clock()) == late.value  # as it was when the session had ended
    assert site.key(visitor.cookie) not in late.value
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_law_02_no_resurrection_after_expiry(site: Website, clock: Clock, visitor: Answer, attempt: str) -> None:
    """Once ended by expiry, nothing brings it back: neither who loaded it in time, nor who comes later."""
    site.visit(lambda s: (dict(s), clock.advance(DAY), ATTEMPTS[attempt](s)), visitor.cookie)
    assert site.look(visitor.cookie) == {}
    site.visit(lambda s: s.update(cart=["pear"]), visitor.cookie)
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("end", ENDS)
def test_law_02_no_resurrection_by_a_retry(site: Website, visitor: Answer, end: str) -> None:
    """… no retry: a write whose answer was lost is not sent again over an end that came in between."""

    def view(session: Any) -> None:
        session["late"] = 1
        site.store.lose_answer("replace", carried_out=False)
        site.store.before("read", lambda: site.visit(ENDS[end], visitor.cookie))

    assert site.visit(view, visitor.cookie).status == 503
    assert site.key(visitor.cookie) not in site.store.live(site.clock())
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seconds", [0, 599, 601, 100 * DAY])
def test_law_02_no_resurrection_by_a_replayed_cookie(
    site: Website, clock: Clock, visitor: Answer, end: str, seconds: float
) -> None:
    """… no replayed cookie, whether the tombstone still stands or not: what it starts is another session."""
    site.visit(ENDS[end], visitor.cookie)
    clock.advance(seconds)
    assert site.look(visitor.cookie) == {}
    fresh = site.visit(keep(a=1), visitor.cookie)
    assert fresh.cookie != visitor.cookie
    assert site.look(visitor.cookie) == {}


# 3. Reading creates nothing


def test_law_03_reading_creates_nothing(site: Website) -> None:
    """No session, no Set-Cookie and no write without a change made by the application, whatever a bot sends."""
    reads: list[View] = [dict, len, lambda s: s.get("cart"), lambda s: s.permanent, lambda s: s.pop("a", None)]
    ends: list[View] = [lambda s: s.clear(), lambda s: s.logout(), lambda s: s.rotate()]
    for number in range(300):
        cookie = [None, SessionToken.new().cookie_value(), SessionToken.new().cookie_value(number)][number % 3]
        assert site.visit((reads + ends)[number % 8], cookie).set_cookies == []
    assert set(site.store.calls) == {"read"}


def test_law_03_reading_creates_nothing_for_a_visitor_either(site: Website, visitor: Answer) -> None:
    """… and who has a session and only reads it changes nothing in the store."""
    record = site.store.store.read(site.key(visitor.cookie), site.clock())
    for _ in range(10):
        assert site.visit(dict, visitor.cookie).set_cookies == []
    assert site.store.store.read(site.key(visitor.cookie), site.clock()) == record


# 4. An untouched session costs nothing


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/static/missing.css", "/missing"])
@pytest.mark.parametrize("start", [keep(a=1), permanent], ids=["not permanent", "permanent"])
def test_law_04_an_untouched_session_costs_nothing(site: Website, tmp_path: Path, path: str, start: View) -> None:
    """No store command on a request whose view does not use it: static files and 404s included."""
    site.app.static_folder = str(tmp_path)
    (tmp_path / "style.css").write_text("body {}")
    visitor = site.visit(start)
    site.store.calls.clear()
    client = site.app.test_client(use_cookies=False)
    for cookie in (visitor.cookie, SessionToken.new().cookie_value(), "no token"):
        headers = {"Cookie": f"session={cookie}"}
        with client.get(path, headers=headers, environ_overrides={"view": lambda: None}) as response:
            assert response.status_code == (404 if "missing" in path else 200)
    assert site.store.calls == []


# 5. Unchanged is unwritten


def test_law_05_unchanged_is_unwritten(site: Website, visitor: Answer) -> None:
    """Reading is one round trip, a change is one more, and there is no third."""
    assert site.calls(lambda session: None, visitor.cookie) == []
    assert site.calls(dict, visitor.cookie) == ["read"]
    assert site.calls(keep(a=1), visitor.cookie) == ["read", "replace"]
    assert site.calls(keep(a=1), visitor.cookie) == ["read"]
    assert site.calls(lambda session: session.logout(), visitor.cookie) == ["read", "delete"]
    assert site.calls(keep(a=1)) == ["create"]


def test_law_05_unchanged_is_unwritten_by_the_idle_clock(site: Website, clock: Clock, visitor: Answer) -> None:
    """The idle clock is moved only when a noticeable part of the timeout has gone by, never by rewriting the data."""
    before = site.store.store.read(site.key(visitor.cookie), clock())
    assert isinstance(before, Record)
    clock.advance(59)
    assert site.calls(dict, visitor.cookie) == ["read"]
    clock.advance(1)
    assert site.calls(dict, visitor.cookie) == ["read", "touch"]
    after = site.store.store.read(site.key(visitor.cookie), clock())
    assert isinstance(after, Record)
    assert (after.version, after.data, after.meta) == (before.version, before.data, before.meta)
    assert (after.last_seen, after.expires_at) == (clock(), clock() + DAY)


# 6. Nested changes are seen


@pytest.mark.parametrize(
    ("change", "cart"),
    [
        (lambda cart: cart["fruit"].append("pear"), {"fruit": ["apple", "pear"], "seen": {1}}),
        (lambda cart: cart["fruit"].__setitem__(0, "fig"), {"fruit": ["fig"], "seen": {1}}),
        (lambda cart: cart["seen"].add(2), {"fruit": ["apple"], "seen": {1, 2}}),
        (lambda cart: cart.update(total=1), {"fruit": ["apple"], "seen": {1}, "total": 1}),
        (lambda cart: cart.pop("fruit"), {"seen": {1}}),
    ],
)
def test_law_06_nested_changes_are_seen(store: KeyedStore, clock: Clock, change: View, cart: dict[str, Any]) -> None:
    """`session["cart"].append(x)` is saved, with no `modified = True`, however deep the change is."""
    site = Website(store, clock)
    visitor = site.visit(keep(cart={"fruit": ["apple"], "seen": {1}}))
    site.visit(lambda session: change(session["cart"]), visitor.cookie)
    assert site.look(visitor.cookie) == {"cart": cart}
