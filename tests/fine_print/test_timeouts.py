"""DESIGN §6, "Timeouts"."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta
from typing import Any

import pytest
from flask import current_app
from werkzeug.test import TestResponse

from coatcheck.errors import StoreError
from coatcheck.session import Session
from coatcheck.stores import Record
from coatcheck.testing import Clock
from tests.fine_print.website import Answer, KeyedStore, View, Website, keep, logout

HOUR = 3600.0
DAY = 24 * HOUR
LIFETIME = 31 * DAY  # Flask's default


def permanent(session: Session) -> None:
    session.permanent = True
    session["a"] = 1


def untouched(session: Session) -> None:
    """A view that does not use the session."""


def attribute(answer: Answer, name: str) -> str | None:
    """Return an attribute of the one Set-Cookie of an answer; None if it has no such attribute."""
    (header,) = answer.set_cookies
    found = dict(part.partition("=")[::2] for part in header.split("; ")[1:])
    return found.get(name)


def max_age(answer: Answer) -> int | None:
    seconds = attribute(answer, "Max-Age")
    return None if seconds is None else int(seconds)


def response_to(site: Website, view: View, cookie: str | None) -> TestResponse:
    """Send one request and return the response with all its headers."""
    client = site.app.test_client(use_cookies=False)
    return client.get("/", headers={"Cookie": f"session={cookie}"}, environ_overrides={"view": lambda: view(None)})


def lives(site: Website, cookie: str | None) -> bool:
    """Say whether a session is there, without using it through the website."""
    return isinstance(site.store.store.read(site.key(cookie), site.clock()), Record)


# The table: permanent, refresh on each request


def test_permanent_max_age_is_the_lifetime(site: Website, clock: Clock) -> None:
    """Permanent, refresh on each request: Max-Age = lifetime, sent with each response that *used* a live session."""
    visitor = site.visit(permanent)
    assert max_age(visitor) == LIFETIME
    for view in (dict, keep(b=1), lambda session: "a" in session):
        clock.advance(5)
        assert max_age(site.visit(view, visitor.cookie)) == LIFETIME


def test_permanent_nothing_is_sent_for_what_is_not_there(site: Website, clock: Clock) -> None:
    """… sent with each response that used a *live* session, and with no other."""
    visitor = site.visit(permanent)
    clock.advance(LIFETIME)
    assert site.visit(dict, visitor.cookie).set_cookies == []
    assert site.visit(dict).set_cookies == []


def test_permanent_idle_timeout_is_the_lifetime(site: Website, clock: Clock) -> None:
    """Permanent, refresh on each request: the idle timeout is the lifetime."""
    visitor = site.visit(permanent)
    for _ in range(2):
        clock.advance(LIFETIME - 1)
        visitor = site.visit(dict, visitor.cookie)
        assert visitor.value["a"] == 1
    clock.advance(LIFETIME)
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("refresh", [True, False])
@pytest.mark.parametrize(
    ("lifetime", "setting", "days"),
    [
        pytest.param(31, None, 90, id="90 days"),
        pytest.param(365, None, 365, id="the lifetime, if that is longer"),
        pytest.param(31, timedelta(days=40), 40, id="policy.absolute"),
        pytest.param(31, 40 * DAY, 40, id="policy.absolute in seconds"),
        pytest.param(31, timedelta(days=7), 7, id="policy.absolute, shorter than the lifetime"),
    ],
)
def test_absolute_timeout(
    store: KeyedStore, clock: Clock, lifetime: int, setting: Any, days: int, refresh: bool
) -> None:
    """The absolute timeout is policy.absolute (default: 90 days or the lifetime, the longer), however active it is."""
    config: dict[str, Any] = {} if setting is None else {"SESSION_ABSOLUTE": setting}
    lasting = timedelta(days=lifetime)
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=lasting, SESSION_REFRESH_EACH_REQUEST=refresh, **config)
    visitor = site.visit(permanent)
    for day in range(1, days):
        clock.advance(DAY)
        if day % 6 == 0 or day == days - 1:
            visitor = site.visit(keep(a=day), visitor.cookie)  # a change, so that it is alive with refresh off too
    clock.advance(DAY - 1)
    assert site.look(visitor.cookie)["a"] == days - 1
    clock.advance(1)
    assert site.look(visitor.cookie) == {}


def test_the_cookie_ends_with_the_session(store: KeyedStore, clock: Clock) -> None:
    """Near the absolute end the Max-Age is what is left until then."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(days=32))
    visitor = site.visit(permanent)
    clock.advance(30 * DAY)
    assert max_age(site.visit(dict, visitor.cookie)) == 2 * DAY


# The table: permanent, refresh off


@pytest.fixture
def no_refresh(store: KeyedStore, clock: Clock) -> Website:
    return Website(store, clock, SESSION_REFRESH_EACH_REQUEST=False, PERMANENT_SESSION_LIFETIME=HOUR)


def test_no_refresh_max_age_is_what_is_left(no_refresh: Website, clock: Clock) -> None:
    """Permanent, refresh off: Max-Age = what is left; a response that changed nothing sends none."""
    visitor = no_refresh.visit(permanent)
    assert max_age(visitor) == HOUR
    clock.advance(600)
    assert no_refresh.visit(dict, visitor.cookie).set_cookies == []
    assert max_age(no_refresh.visit(keep(a=1), visitor.cookie)) == HOUR - 600  # assigned, and equal
    assert max_age(no_refresh.visit(keep(a=2), visitor.cookie)) == HOUR


def test_no_refresh_ends_one_lifetime_after_the_last_change(no_refresh: Website, clock: Clock) -> None:
    """Permanent, refresh off: no idle timeout, it ends one lifetime after the last change, however much it is used."""
    visitor = no_refresh.visit(permanent)
    clock.advance(1800)
    no_refresh.visit(keep(b=1), visitor.cookie)
    for _ in range(59):
        clock.advance(60)
        assert no_refresh.calls(dict, visitor.cookie) == ["read"]
        assert no_refresh.calls(untouched, visitor.cookie) == []
    clock.advance(59)
    assert no_refresh.look(visitor.cookie) != {}
    clock.advance(1)
    assert no_refresh.look(visitor.cookie) == {}


@pytest.mark.parametrize(
    ("config", "view"),
    [({"SESSION_RENEW_AFTER": 900}, dict), ({}, lambda session: session.rotate())],
    ids=["renewal", "rotation"],
)
def test_no_refresh_a_new_token_is_no_change(
    store: KeyedStore, clock: Clock, config: dict[str, Any], view: View
) -> None:
    """… it ends one lifetime after the last change: a new token for the same values is none."""
    site = Website(store, clock, SESSION_REFRESH_EACH_REQUEST=False, PERMANENT_SESSION_LIFETIME=HOUR, **config)
    visitor = site.visit(permanent)
    for _ in range(3):
        clock.advance(1000)
        before, visitor = visitor, site.visit(view, visitor.cookie)
        assert visitor.cookie != before.cookie
    assert max_age(visitor) == 600
    clock.advance(600)
    assert site.look(visitor.cookie) == {}


# The table: not permanent


@pytest.mark.parametrize(("lifetime", "idle"), [(LIFETIME, DAY), (DAY + 1, DAY), (HOUR, HOUR), (10.0, 10.0)])
@pytest.mark.parametrize("refresh", [True, False])
def test_not_permanent(store: KeyedStore, clock: Clock, lifetime: float, idle: float, refresh: bool) -> None:
    """Not permanent: no Max-Age; idle timeout min(lifetime, 24 h)."""
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=lifetime, SESSION_REFRESH_EACH_REQUEST=refresh)
    visitor = site.visit(keep(a=1))
    assert (attribute(visitor, "Max-Age"), attribute(visitor, "Expires")) == (None, None)
    for _ in range(2):
        clock.advance(idle - 1)
        assert site.visit(dict, visitor.cookie).value == {"a": 1}
    clock.advance(idle)
    assert site.look(visitor.cookie) == {}


def test_not_permanent_absolute(store: KeyedStore, clock: Clock) -> None:
    """Not permanent: the same absolute timeout."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(hours=12))
    visitor = site.visit(keep(a=1))
    for _ in range(11):
        clock.advance(HOUR)
        assert site.look(visitor.cookie) == {"a": 1}
    clock.advance(HOUR)
    assert site.look(visitor.cookie) == {}


# The lifetime


def test_the_lifetime_is_read_at_each_commit(site: Website, clock: Clock) -> None:
    """lifetime = the framework's, read at each commit, never cached: one that changes between two requests counts."""
    visitor = site.visit(permanent)
    site.app.permanent_session_lifetime = timedelta(seconds=100)
    shorter = site.visit(keep(a=2), visitor.cookie)
    assert max_age(shorter) == 100
    site.app.permanent_session_lifetime = timedelta(seconds=200)
    assert max_age(site.visit(dict, visitor.cookie)) == 200
    clock.advance(20)
    site.visit(dict, visitor.cookie)
    clock.advance(199)
    assert lives(site, visitor.cookie)
    clock.advance(1)
    assert not lives(site, visitor.cookie)


def test_the_lifetime_may_be_set_in_the_view(site: Website, clock: Clock) -> None:
    """… read at each commit: so one that the view itself sets, as tutorials do, counts for this very session."""

    def short(session: Session) -> None:
        current_app.permanent_session_lifetime = timedelta(seconds=10)
        permanent(session)

    visitor = site.visit(short)
    assert max_age(visitor) == 10
    clock.advance(10)
    assert site.look(visitor.cookie) == {}


# Login and re-authentication


@pytest.mark.parametrize("again", [lambda session: session.login("ann"), lambda session: session.reauthenticated()])
def test_login_and_reauthentication_restart_the_absolute_timeout(store: KeyedStore, clock: Clock, again: View) -> None:
    """Login and re-authentication restart both clocks: the absolute one."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(hours=20))
    visitor = site.visit(lambda session: session.login("ann"))
    clock.advance(19 * HOUR)
    visitor = site.visit(again, visitor.cookie)
    clock.advance(20 * HOUR - 1)
    assert site.visit(lambda session: session.logged_in_as, visitor.cookie).value == "ann"
    clock.advance(1)
    assert site.visit(lambda session: session.logged_in_as, visitor.cookie).value is None


@pytest.mark.parametrize("again", [lambda session: session.login("ann"), lambda session: session.reauthenticated()])
def test_login_and_reauthentication_restart_the_idle_timeout(no_refresh: Website, clock: Clock, again: View) -> None:
    """Login and re-authentication restart both clocks: that of the last use (or change) too."""
    visitor = no_refresh.visit(lambda session: (permanent(session), session.login("ann")))
    clock.advance(HOUR - 1)
    visitor = no_refresh.visit(again, visitor.cookie)
    clock.advance(HOUR - 1)
    assert lives(no_refresh, visitor.cookie)
    clock.advance(1)
    assert not lives(no_refresh, visitor.cookie)


def test_rotate_restarts_no_absolute_timeout(store: KeyedStore, clock: Clock) -> None:
    """Login and re-authentication restart both clocks; a new token alone does not move the absolute one."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(hours=20))
    visitor = site.visit(keep(a=1))
    clock.advance(19 * HOUR)
    visitor = site.visit(lambda session: session.rotate(), visitor.cookie)
    clock.advance(HOUR)
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("lifetime", [10, 31 * DAY])
def test_remember(store: KeyedStore, clock: Clock, lifetime: float) -> None:
    """remember: a timedelta makes it permanent for that long, whatever the framework's lifetime is."""
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=lifetime)
    week = 7 * DAY
    visitor = site.visit(lambda session: session.login("ann", remember=timedelta(days=7)))
    assert max_age(visitor) == week
    clock.advance(week - 1)
    again = site.visit(lambda session: (session.permanent, session.logged_in_as), visitor.cookie)
    assert (again.value, max_age(again)) == ((True, "ann"), week)
    clock.advance(week)
    assert site.look(visitor.cookie) == {}


def test_remember_lasts_for_this_login(site: Website) -> None:
    """remember= belongs to one login: the next one without it has the framework's lifetime again."""
    visitor = site.visit(lambda session: session.login("ann", remember=timedelta(days=7)))
    visitor = site.visit(lambda session: session.login("ann"), visitor.cookie)
    assert max_age(visitor) == LIFETIME


def test_remember_never_outlives_the_absolute_timeout(store: KeyedStore, clock: Clock) -> None:
    """policy.absolute holds for a remembered login too; without one, the absolute timeout is at least as long."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(days=2))
    assert max_age(site.visit(lambda session: session.login("ann", remember=timedelta(days=7)))) == 2 * DAY
    unlimited = Website(store, clock)
    assert max_age(unlimited.visit(lambda session: session.login("ann", remember=timedelta(days=200)))) == 200 * DAY


# The start-up log


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "ends 1 day, 0:00:00 after its last use, a permanent one 31 days, 0:00:00 after its last use, "
         "any 90 days, 0:00:00 after its login or creation"),
        ({"PERMANENT_SESSION_LIFETIME": 3600, "SESSION_REFRESH_EACH_REQUEST": False, "SESSION_ABSOLUTE": 7200},
         "ends 1:00:00 after its last use, a permanent one 1:00:00 after its last change, any 2:00:00 after"),
    ],
)  # fmt: skip
def test_start_up_logs_what_is_in_force(
    store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture, config: dict[str, Any], sentence: str
) -> None:
    """Start-up logs what is in force."""
    caplog.set_level(logging.INFO, "coatcheck")
    Website(store, clock, **config)
    assert sentence in caplog.text


# The last request that used the session


def test_idle_counts_from_the_last_request_that_used_it(site: Website, clock: Clock) -> None:
    """Idle counts from the last request that *used* the session: others do not prolong one that is not permanent."""
    visitor = site.visit(keep(a=1))
    clock.advance(12 * HOUR)
    assert site.look(visitor.cookie) == {"a": 1}
    for _ in range(3):
        clock.advance(6 * HOUR)
        assert site.calls(untouched, visitor.cookie) == []
    clock.advance(6 * HOUR)
    assert site.look(visitor.cookie) == {}


def test_the_cookie_of_a_permanent_session_names_its_last_refresh(site: Website, clock: Clock) -> None:
    """The cookie value of a permanent session carries, beside the token, the second of its last refresh."""
    visitor = site.visit(permanent)
    assert visitor.cookie is not None
    token, second = visitor.cookie.split(".")
    assert int(second) == clock()
    clock.advance(60.5)
    assert site.visit(dict, visitor.cookie).cookie == f"{token}.{int(clock())}"
    plain = site.visit(keep(a=1)).cookie
    assert plain is not None
    assert "." not in plain


@pytest.mark.parametrize(("lifetime", "interval"), [(31 * DAY, 60), (601, 60), (600, 60), (300, 30), (20, 2)])
def test_when_an_untouched_request_refreshes(store: KeyedStore, clock: Clock, lifetime: float, interval: float) -> None:
    """Only when min(60 s, idle/10) have gone by does an untouched request `read` and `touch`."""
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=lifetime)
    visitor = site.visit(permanent)
    clock.advance(interval - 0.5)
    assert site.calls(untouched, visitor.cookie) == []
    clock.advance(0.5)
    assert site.calls(untouched, visitor.cookie) == ["read", "touch"]


def test_an_untouched_request_sends_vary_and_no_cookie(site: Website, clock: Clock) -> None:
    """Otherwise it sends `Vary: Cookie` and no Set-Cookie."""
    visitor = site.visit(permanent)
    clock.advance(59)
    response = response_to(site, untouched, visitor.cookie)
    assert response.headers.getlist("Vary") == ["Cookie"]
    assert "Set-Cookie" not in response.headers
    clock.advance(1)
    refreshed = response_to(site, untouched, visitor.cookie)
    assert refreshed.headers.getlist("Vary") == ["Cookie"]


def test_a_refresh_that_the_store_confirmed(store: KeyedStore, clock: Clock) -> None:
    """Max-Age = lifetime, sent … after a refresh that the store confirmed: the promise "renewed on each request"."""
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=DAY)
    visitor = site.visit(permanent)
    for _ in range(3):
        clock.advance(DAY - 1)
        visitor = site.visit(untouched, visitor.cookie)
        assert max_age(visitor) == DAY
    clock.advance(DAY - 1)
    assert site.look(visitor.cookie)["a"] == 1


def test_a_refresh_that_comes_too_late(site: Website, clock: Clock) -> None:
    """… a refresh that the store did not confirm, because the session ended before its touch, sends no cookie."""
    visitor = site.visit(permanent)
    clock.advance(60)
    site.store.before("touch", lambda: site.visit(logout, visitor.cookie))
    assert site.visit(untouched, visitor.cookie).set_cookies == []
    assert not lives(site, visitor.cookie)


@pytest.mark.parametrize("verb", ["read", "touch"])
def test_a_store_that_is_down_during_a_refresh(site: Website, clock: Clock, verb: str) -> None:
    """A refresh that fails costs the visitor nothing: the page does not need the session, and is served."""

    def down() -> None:
        raise StoreError("the store is down")

    visitor = site.visit(permanent)
    clock.advance(60)
    site.store.before(verb, down)
    response = response_to(site, untouched, visitor.cookie)
    assert (response.status_code, response.text) == (200, "done")
    assert "Set-Cookie" not in response.headers
    assert site.visit(untouched, visitor.cookie).set_cookies != []  # the next one tries again


@pytest.mark.parametrize("seconds", [1, 60])
def test_a_late_untouched_answer_brings_no_old_token_back(site: Website, clock: Clock, seconds: float) -> None:
    """An untouched answer that arrives late must not bring back a token that a login has just replaced."""
    visitor = site.visit(permanent)
    clock.advance(seconds)
    late = site.visit(lambda _: site.visit(lambda session: session.login("ann"), visitor.cookie), visitor.cookie)
    assert late.value.cookie != visitor.cookie
    assert late.set_cookies == []


def test_a_slow_answer_that_read_the_session_still_can(site: Website) -> None:
    """A slow answer that *read* the session still can; the browser then holds a dead token. Known limit: it is dead
    all the same, and the login's own is not."""
    visitor = site.visit(permanent)

    def slow(session: Session) -> Answer:
        session.get("anything")
        return site.visit(lambda other: other.login("ann"), visitor.cookie)

    late = site.visit(slow, visitor.cookie)
    assert late.cookie == visitor.cookie
    assert late.set_cookies != []
    assert not lives(site, late.cookie)
    assert lives(site, late.value.cookie)


@pytest.mark.parametrize(("lifetime", "remember", "interval"), [(31 * DAY, 50, 5), (10, 31 * DAY, 60)])
def test_a_remembered_login_is_refreshed_by_its_own_lifetime(
    store: KeyedStore, clock: Clock, lifetime: float, remember: float, interval: float
) -> None:
    """… only when min(60 s, idle/10) have gone by: idle is that of this session, which remember= may have set."""
    site = Website(store, clock, PERMANENT_SESSION_LIFETIME=lifetime)
    visitor = site.visit(lambda session: session.login("ann", remember=remember))
    clock.advance(interval - 1)
    assert site.calls(untouched, visitor.cookie) == []
    clock.advance(1)
    assert site.calls(untouched, visitor.cookie) == ["read", "touch"]


# What is trusted


FORGED = ["1", "1700000000", "99999999999", "1.1", "1.99999999999", "99999999999.1"]


@pytest.mark.parametrize("second", FORGED)
def test_the_second_revives_nothing(site: Website, clock: Clock, second: str) -> None:
    """The second of its last refresh is not trusted for anything else: no session lives a second longer by it."""
    visitor = site.visit(permanent)
    assert visitor.cookie is not None
    forged = f"{visitor.cookie.split('.')[0]}.{second}"
    clock.advance(LIFETIME)
    for view in (untouched, dict):
        assert site.visit(view, forged).set_cookies == []
    assert site.look(forged) == {}


@pytest.mark.parametrize("second", FORGED)
def test_the_second_makes_nothing_permanent(site: Website, clock: Clock, second: str) -> None:
    """… not trusted: who adds one to the cookie of a session that is not permanent prolongs nothing."""
    visitor = site.visit(keep(a=1))
    for _ in range(2):
        clock.advance(12 * HOUR)
        assert site.visit(untouched, f"{visitor.cookie}.{second}").set_cookies == []
    assert not lives(site, visitor.cookie)


def test_the_store_decides_whether_a_refresh_is_due(site: Website, clock: Clock) -> None:
    """… not trusted: one that says a refresh is overdue makes a read, and writes nothing if the record is fresh."""
    visitor = site.visit(permanent)
    assert visitor.cookie is not None
    clock.advance(30)
    assert site.calls(untouched, f"{visitor.cookie.split('.')[0]}.1") == ["read"]


@pytest.mark.parametrize("how", ["touch", "replace"])
def test_the_absolute_end_comes_from_sealed_data(store: KeyedStore, clock: Clock, how: str) -> None:
    """The absolute end is checked from sealed data, even if somebody has the store keep the record (laws 8, 10)."""
    site = Website(store, clock, SESSION_ABSOLUTE=timedelta(hours=1))
    visitor = site.visit(keep(a=1))
    key, inner = site.key(visitor.cookie), store.store
    record = inner.read(key, clock())
    assert isinstance(record, Record)
    if how == "touch":
        assert inner.touch(key, clock() + LIFETIME, clock(), clock())
    else:
        kept = dataclasses.replace(record, version=1, expires_at=clock() + LIFETIME, last_seen=clock() + LIFETIME)
        assert inner.replace(key, kept, record.version, clock()) is True
    clock.advance(HOUR - 1)
    assert site.look(visitor.cookie) == {"a": 1}
    clock.advance(1)
    assert lives(site, visitor.cookie)
    for view in (dict, keep(b=1), untouched):
        assert site.look(site.visit(view, visitor.cookie).cookie).get("a") is None
