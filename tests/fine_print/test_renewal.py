"""DESIGN §6, "Renewal"."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from coatcheck.crypto.sealing import Purpose, Unsealable
from coatcheck.policy import Policy
from coatcheck.records import Pointer, Records
from coatcheck.session import Session
from coatcheck.stores import Record
from coatcheck.testing import Clock
from coatcheck.tokens import SessionToken, parse_cookie_value
from tests.fine_print.website import (
    SECRET,
    Answer,
    KeyedStore,
    Killed,
    View,
    Website,
    in_memory,
    keep,
    kill,
    logout,
    who,
)

RENEW_AFTER = 600


@pytest.fixture
def site(store: KeyedStore, clock: Clock) -> Website:
    """A website that renews tokens after ten minutes."""
    return Website(store, clock, SESSION_RENEW_AFTER=RENEW_AFTER)


@pytest.fixture
def ann(site: Website) -> Answer:
    """Somebody who has logged in, with a cart, and whose token is due for renewal."""
    answer = site.visit(lambda session: (session.login("ann"), session.update(cart=["apple"])))
    site.clock.advance(RENEW_AFTER)
    return answer


@pytest.fixture
def renewed(site: Website, ann: Answer) -> Answer:
    """Ann's next answer, which has renewed it."""
    return site.visit(dict, ann.cookie)


def _record(site: Website, cookie: str | None) -> Record:
    found = site.store.read(site.key(cookie), site.clock())
    assert isinstance(found, Record)
    return found


def _token(cookie: str | None) -> SessionToken:
    parsed = parse_cookie_value(cookie or "")
    assert parsed is not None
    return parsed[0]


def _records(site: Website) -> Records:
    records: Records = site.manager.lifecycle((SECRET,)).records
    return records


# The soft rotation


@in_memory
def test_renewal_is_off_by_default(store: KeyedStore, clock: Clock) -> None:
    """**Renewal** (`policy.renew_after`, off by default): a session keeps its token for its whole life."""
    assert Policy().renew_after is None
    site = Website(store, clock)
    first = site.visit(keep(cart=["apple"]))
    for _ in range(40):
        clock.advance(12 * 3600)
        assert site.visit(dict, first.cookie).cookie == first.cookie
    assert site.look(first.cookie) == {"cart": ["apple"]}


def test_a_token_in_use_for_so_long_is_renewed(site: Website, ann: Answer) -> None:
    """**Renewal** is the soft rotation: the same session under a new token, and not a second before it is due."""

    def handle(session: Session) -> object:
        return session.handle, session.logged_in_as, dict(session)

    site.clock.advance(-1)
    before = site.visit(handle, ann.cookie)
    assert before.set_cookies == []
    site.clock.advance(1)
    after = site.visit(handle, ann.cookie)
    assert after.cookie != ann.cookie
    assert site.visit(handle, after.cookie).value == before.value


def test_the_old_record_is_replaced_by_a_pointer(site: Website, ann: Answer) -> None:
    """… the old record is replaced by a *sealed pointer* to the new token."""
    assert site.calls(dict, ann.cookie) == ["read", "create", "replace"]


def test_the_pointer_is_sealed(site: Website, ann: Answer, renewed: Answer) -> None:
    """… a *sealed pointer* to the new token: nobody reads that in the store, nor opens it by another token."""
    record, target = _record(site, ann.cookie), _token(renewed.cookie)
    assert target.secret not in record.data + record.meta
    assert site.key(renewed.cookie) not in record.data + record.meta
    pointer = _records(site).open(_token(ann.cookie), record)
    assert isinstance(pointer, Pointer)
    assert pointer.token.secret == target.secret
    with pytest.raises(Unsealable):
        _records(site).open(target, record)


def test_a_pointer_is_sealed_under_the_old_token_whatever_the_policy(store: KeyedStore, clock: Clock) -> None:
    """… a *sealed pointer*: even under seal="server" (law 8: the secret key and a dump yield no usable token)."""
    site = Website(store, clock, SESSION_RENEW_AFTER=RENEW_AFTER, SESSION_SEAL="server")
    old = site.visit(keep(cart=["apple"]))
    clock.advance(RENEW_AFTER)
    new = site.visit(dict, old.cookie)
    assert site.look(old.cookie) == {"cart": ["apple"]}
    with pytest.raises(Unsealable):
        _records(site).sealer.open(Purpose.POINTER, _record(site, old.cookie).data, site.key(old.cookie), bytes(32))
    assert new.cookie != old.cookie


def test_a_renewal_is_due_again_by_the_new_token(site: Website, renewed: Answer) -> None:
    """**Renewal** counts from the token's own beginning: the new one is renewed when it has been in use as long."""
    site.clock.advance(RENEW_AFTER - 1)
    assert site.visit(dict, renewed.cookie).cookie == renewed.cookie
    site.clock.advance(1)
    assert site.visit(dict, renewed.cookie).cookie != renewed.cookie


# The pointer's end


@pytest.mark.parametrize(("seconds", "works"), [(0, True), (59.9, True), (60, False), (3600, False)])
def test_the_pointer_ends_after_a_minute(
    site: Website, ann: Answer, renewed: Answer, seconds: float, works: bool
) -> None:
    """… its own end, 60 s: until then the old token is honoured."""
    site.clock.advance(seconds)
    assert site.visit(who, ann.cookie).value == ("ann" if works else None)
    assert site.visit(who, renewed.cookie).value == "ann"


@pytest.mark.parametrize(("seconds", "works"), [(59.9, True), (60, False)])
def test_the_pointers_end_is_not_the_stores_to_say(
    site: Website, ann: Answer, renewed: Answer, seconds: float, works: bool
) -> None:
    """… its own end, 60 s, is sealed in it and checked on read: even if the store keeps it for a year."""
    now = site.clock()
    assert site.store.touch(site.key(ann.cookie), now + 365 * 86400, now, now)
    site.clock.advance(seconds)
    assert _record(site, ann.cookie).expires_at > site.clock()
    answer = site.visit(who, ann.cookie)
    assert answer.value == ("ann" if works else None)
    assert answer.cookie == (renewed.cookie if works else ann.cookie)


def test_a_pointer_leads_to_no_ended_session(site: Website, ann: Answer, renewed: Answer) -> None:
    """Law 2: once the session has ended, its pointer opens nothing, though its minute is not over."""
    site.visit(logout, renewed.cookie)
    answer = site.visit(who, ann.cookie)
    assert (answer.value, answer.set_cookies) == (None, [])


# What follows it


def test_a_read_by_the_old_token_follows(site: Website, ann: Answer, renewed: Answer) -> None:
    """Reads … with the old token follow it … and repeat the new cookie."""
    answer = site.visit(dict, ann.cookie)
    assert answer.value == {"cart": ["apple"]}
    assert answer.cookie == renewed.cookie


@pytest.mark.parametrize("count", [1, 3])
def test_a_write_by_the_old_token_follows(site: Website, ann: Answer, renewed: Answer, count: int) -> None:
    """… writes … with the old token follow it … and repeat the new cookie."""
    for number in range(count):
        answer = site.visit(keep(**{f"late {number}": number}), ann.cookie)
        assert answer.cookie == renewed.cookie
    assert site.look(renewed.cookie) == {"cart": ["apple"], **{f"late {number}": number for number in range(count)}}


def test_a_write_that_began_before_the_renewal_follows(site: Website, ann: Answer) -> None:
    """Reads, writes … with the old token follow it: also one whose session was loaded before the renewal."""
    renewed: list[Answer] = []
    site.clock.advance(-1)  # the late request is not due itself
    site.store.before("replace", lambda: (site.clock.advance(1), renewed.append(site.visit(dict, ann.cookie))))
    answer = site.visit(keep(late=1), ann.cookie)
    assert answer.cookie == renewed[0].cookie != ann.cookie
    assert site.look(answer.cookie) == {"cart": ["apple"], "late": 1}


def test_a_logout_by_the_old_token_follows(site: Website, ann: Answer, renewed: Answer) -> None:
    """… logout and revoke with the old token follow it: the session ends, and the cookie is deleted."""
    assert site.visit(logout, ann.cookie).cookie is None
    assert site.visit(who, renewed.cookie).value is None
    assert site.visit(who, ann.cookie).value is None


def test_a_logout_that_began_before_the_renewal_follows(site: Website, ann: Answer) -> None:
    """… logout and revoke with the old token follow it: also one whose session was loaded before the renewal."""
    renewed: list[Answer] = []
    site.store.before("delete", lambda: renewed.append(site.visit(dict, ann.cookie)))
    assert site.visit(logout, ann.cookie).cookie is None
    assert renewed[0].cookie != ann.cookie
    assert site.visit(who, renewed[0].cookie).value is None


def test_a_logout_that_takes_longer_than_the_pointer_ends_the_session(site: Website, ann: Answer) -> None:
    """`clear()`/`logout()`: … it wins over every write: also a slow one, which loaded its session before a renewal and
    commits when the pointer has had its 60 s. (A tombstone "outlives the longest request, default 10 min".)"""
    renewed: list[Answer] = []

    def view(session: Session) -> None:
        session.logout()
        renewed.append(site.visit(dict, ann.cookie))
        site.clock.advance(61)

    site.visit(view, ann.cookie)
    assert site.visit(who, renewed[0].cookie).value is None


@pytest.mark.parametrize("seconds", [61, 300])
def test_a_logout_by_a_token_past_its_minute_ends_the_session(
    site: Website, ann: Answer, renewed: Answer, seconds: float
) -> None:
    """… a logout … that arrives by the old token still ends the session; nothing else can be done with it: a pointer
    past its end is like a tombstone."""
    site.clock.advance(seconds)
    assert site.visit(lambda session: session.rotate(), ann.cookie).set_cookies == []
    assert site.visit(who, renewed.cookie).value == "ann"
    assert site.visit(logout, ann.cookie).cookie is None
    assert site.visit(who, renewed.cookie).value is None


def test_a_rotation_by_the_old_token_ends_both(site: Website, ann: Answer, renewed: Answer) -> None:
    """… writes … with the old token follow it: a login by it ends the new token too, and the pointer opens nothing."""
    again = site.visit(lambda session: session.login("ann"), ann.cookie)
    assert site.look(again.cookie) == {"cart": ["apple"]}
    assert site.look(renewed.cookie) == {}
    assert site.look(ann.cookie) == {}


def test_a_logout_over_pointer_and_tombstone(site: Website, ann: Answer, renewed: Answer) -> None:
    """… a logout or revoke that arrives by the old token still ends the session: over a renewal and a rotation."""
    rotated = site.visit(lambda session: session.rotate(), renewed.cookie)
    site.visit(logout, ann.cookie)
    assert site.visit(who, rotated.cookie).value is None


# Eight hops


def _chain(site: Website, hops: int) -> list[Answer]:
    """Renew a token so many times, each time a second after the last; return all answers."""
    chain = [site.visit(keep(cart=["apple"]))]
    for _ in range(hops):
        site.clock.advance(1)
        chain.append(site.visit(dict, chain[-1].cookie))
    return chain


@pytest.mark.parametrize(("hops", "works"), [(1, True), (8, True), (9, False)])
def test_at_most_eight_hops(store: KeyedStore, clock: Clock, hops: int, works: bool) -> None:
    """… follow it (at most eight hops): in bounded time, whatever the store holds."""
    site = Website(store, clock, SESSION_RENEW_AFTER=1)
    chain = _chain(site, hops)
    assert len({answer.cookie for answer in chain}) == hops + 1
    answer = site.visit(dict, chain[0].cookie)
    assert answer.value == ({"cart": ["apple"]} if works else {})
    assert answer.cookie == (chain[-1] if works else chain[0]).cookie


def test_a_logout_follows_eight_hops(store: KeyedStore, clock: Clock) -> None:
    """… logout and revoke with the old token follow it (at most eight hops): also those made while it was under way."""
    site = Website(store, clock, SESSION_RENEW_AFTER=1)
    latest = [site.visit(keep(cart=["apple"]))]

    def renew_eight_times() -> None:
        for _ in range(8):
            clock.advance(1)
            latest.append(site.visit(dict, latest[-1].cookie))

    store.before("delete", renew_eight_times)
    site.visit(logout, latest[0].cookie)
    assert len(latest) == 9
    assert site.look(latest[-1].cookie) == {}


def test_a_request_that_came_by_a_pointer_never_renews(store: KeyedStore, clock: Clock) -> None:
    """… a request that came by a pointer never renews: it gets the token that there is."""
    site = Website(store, clock, SESSION_RENEW_AFTER=10)
    old = site.visit(keep(cart=["apple"]))
    clock.advance(10)
    new = site.visit(dict, old.cookie)
    clock.advance(30)
    assert site.visit(keep(late=1), old.cookie).cookie == new.cookie
    assert site.calls(dict, old.cookie) == ["read", "read"]
    assert site.visit(dict, new.cookie).cookie not in (old.cookie, new.cookie)


# Two workers that renew at once


@pytest.mark.parametrize("loser", [dict, keep(mine=1)], ids=["reads", "writes"])
@pytest.mark.parametrize("winner", [dict, keep(theirs=1)], ids=["reads", "writes"])
def test_two_workers_that_renew_at_once(site: Website, ann: Answer, winner: View, loser: View) -> None:
    """… who loses a race to renew deletes its own new record, follows the winner's pointer and merges there."""
    won: list[Answer] = []
    site.store.before("replace", lambda: won.append(site.visit(winner, ann.cookie)))
    lost = site.visit(loser, ann.cookie)
    assert lost.cookie == won[0].cookie != ann.cookie
    written = {"mine": 1} if loser is not dict else {}
    written |= {"theirs": 1} if winner is not dict else {}
    assert site.look(lost.cookie) == {"cart": ["apple"], **written}
    assert site.store.live(site.clock()) == {site.key(ann.cookie), site.key(lost.cookie)}


def test_the_verbs_of_who_loses(site: Website, ann: Answer) -> None:
    """… deletes its own new record, follows the winner's pointer and merges there: in this order."""
    site.store.before("replace", lambda: site.visit(keep(theirs=1), ann.cookie))
    calls = site.calls(keep(mine=1), ann.cookie)
    winner = ["read", "create", "replace"]
    assert calls == ["read", "create", "replace", *winner, "read", "delete", "replace"]


def test_functions_are_exact_when_two_renew_at_once(site: Website, ann: Answer) -> None:
    """… and merges there: also the functions of `atomic`, each once."""

    def count(session: Session) -> None:
        session.atomic(lambda s: s.update(n=s.get("n", 0) + 1))

    site.store.before("replace", lambda: site.visit(count, ann.cookie))
    assert site.look(site.visit(count, ann.cookie).cookie)["n"] == 2


def test_a_write_before_the_pointer_is_merged_and_the_renewal_goes_on(site: Website, ann: Answer) -> None:
    """**Renewal** loses nothing to a plain write in between: it takes it along and tries again."""

    def write_meanwhile() -> None:
        site.clock.advance(-1)  # so that it is not due for the other
        site.visit(keep(theirs=1), ann.cookie)
        site.clock.advance(1)

    site.store.before_each("replace", write_meanwhile, write_meanwhile)
    answer = site.visit(keep(mine=1), ann.cookie)
    assert answer.cookie != ann.cookie
    assert site.look(answer.cookie) == {"cart": ["apple"], "theirs": 1, "mine": 1}
    assert site.look(ann.cookie) == site.look(answer.cookie)


@pytest.mark.parametrize("ending", [logout, lambda session: session.rotate()], ids=["logout", "rotate"])
def test_a_renewal_of_an_ended_session_leaves_nothing(site: Website, ann: Answer, ending: View) -> None:
    """Law 2: a session that ends while it is renewed stays ended, and the new record goes."""
    ended: list[Answer] = []
    site.store.before("replace", lambda: ended.append(site.visit(ending, ann.cookie)))
    answer = site.visit(keep(mine=1), ann.cookie)
    assert answer.set_cookies == []
    expected = {site.key(ended[0].cookie)} if ended[0].cookie else set()
    assert site.store.live(site.clock()) == expected


@pytest.mark.parametrize(("moment", "verb"), [("before", "create"), ("after", "create"), ("before", "replace")])
def test_a_crash_before_the_pointer_changes_nothing(site: Website, ann: Answer, moment: str, verb: str) -> None:
    """A worker that dies before the old record is replaced by the pointer leaves the old token as it was."""
    getattr(site.store, moment)(verb, kill)
    with pytest.raises(Killed):
        site.visit(keep(mine=1), ann.cookie)
    answer = site.visit(dict, ann.cookie)
    assert answer.value == {"cart": ["apple"]}
    assert answer.cookie != ann.cookie


def test_a_crash_after_the_pointer_loses_nothing(site: Website, ann: Answer) -> None:
    """A worker that dies after that has renewed: the old token follows, and the answer to it brings the new one."""
    site.store.after("replace", kill)
    with pytest.raises(Killed):
        site.visit(keep(mine=1), ann.cookie)
    answer = site.visit(dict, ann.cookie)
    assert answer.value == {"cart": ["apple"], "mine": 1}
    assert answer.cookie != ann.cookie
    assert site.look(answer.cookie) == answer.value


# A hundred parallel requests


def test_a_hundred_parallel_requests_notice_nothing(site: Website, ann: Answer) -> None:
    """A hundred parallel requests notice nothing: each is logged in, none loses what it wrote, all end with one token.

    Fifty are under way when the token becomes due, fifty come afterwards, all by the old cookie.
    """
    site.clock.advance(-1)
    due = Event()
    arrived: list[int] = []

    def visit(number: int, *, early: bool) -> Answer:
        def view(session: Session) -> object:
            session[f"key {number}"] = number
            arrived.append(number)
            assert not early or due.wait(timeout=30)
            return session.logged_in_as

        return site.visit(view, ann.cookie)

    with ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(visit, number, early=True) for number in range(50)]
        while len(arrived) < 50:
            assert not any(answer.done() for answer in answers)
        site.clock.advance(1)
        due.set()
        answers += [pool.submit(visit, number, early=False) for number in range(50, 100)]
    assert {answer.result().value for answer in answers} == {"ann"}
    cookies = {answer.result().cookie for answer in answers}
    assert len(cookies) == 1
    site.clock.advance(61)
    assert site.look(*cookies) == {"cart": ["apple"], **{f"key {number}": number for number in range(100)}}
