"""DESIGN §5: what happens after a write whose answer was lost, for each verb that writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any

import pytest

from coatcheck import steps
from coatcheck.errors import AnswerLost, StoreError
from coatcheck.steps import Steps
from coatcheck.stores import Conflict, Ended, Record
from coatcheck.testing import Clock
from tests.fine_print.website import Answer, KeyedStore, View, Website, in_memory, keep, logout, who

KEY = b"k" * 32
NOW = 1_700_000_000.0
OLD = Record(1, NOW + 3600, NOW, b"", b"old")
NEW = changed(OLD, version=2, data=b"new")
THEIRS = changed(OLD, version=3, data=b"theirs")
NOTE = b"a note"

#: One writing step each, on a store that holds OLD at KEY. (create finds nothing there.)
STEPS: dict[str, Callable[[], Steps[Any]]] = {
    "create": lambda: steps.create(KEY, NEW, NOW),
    "replace": lambda: steps.replace(KEY, NEW, OLD.version, NOW),
    "delete": lambda: steps.delete(KEY, NOW, OLD.version, NOTE),
    "unconditional delete": lambda: steps.delete(KEY, NOW),
}
#: A request each that ends with one of these verbs, by a visitor with a cart.
VIEWS: dict[str, tuple[str, View]] = {
    "a write": ("replace", keep(mine=1)),
    "a login": ("create", lambda session: session.login("ann")),
    "the end of a login": ("delete", lambda session: session.login("ann")),
    "the end of a rotation": ("delete", lambda session: session.rotate()),
    "a logout": ("delete", logout),
    "all removed": ("delete", lambda session: session.pop("cart")),
    "the login recipe": ("create", lambda session: (session.clear(), session.update(mine=1))),
    "the end of the login recipe": ("delete", lambda session: (session.clear(), session.update(mine=1))),
}


def _prepared(store: KeyedStore, name: str) -> str:
    """Put OLD where the step expects it, and return the step's verb."""
    verb = name.split()[-1]
    if verb != "create":
        store.create(KEY, OLD, NOW)
    store.calls.clear()
    return verb


def _perform(store: KeyedStore, name: str) -> Any:
    return steps.perform(STEPS[name](), store, lambda: NOW)


# One's own version (or note) is there


@pytest.mark.parametrize("name", STEPS)
def test_ones_own_version_is_there(store: KeyedStore, name: str) -> None:
    """After a write whose answer was lost: one's own version (or note) is there: it succeeded."""
    verb = _prepared(store, name)
    store.lose_answer(verb, carried_out=True)
    assert _perform(store, name) is True
    assert store.calls == [verb, "read"]


# The expected version is still there


@pytest.mark.parametrize("name", STEPS)
def test_the_expected_version_is_still_there(store: KeyedStore, name: str) -> None:
    """… the expected version is still there (or, for a create, nothing): write again."""
    verb = _prepared(store, name)
    store.lose_answer(verb, carried_out=False)
    assert _perform(store, name) is True
    assert store.calls == [verb, "read", verb]
    assert store.read(KEY, NOW) == {"delete": Ended(NOTE), "unconditional delete": Ended(None)}.get(name, NEW)


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_touch_is_done_again(store: KeyedStore, carried_out: bool) -> None:
    """… write again: a touch needs no look, since done twice is done once."""
    store.create(KEY, OLD, NOW)
    store.lose_answer("touch", carried_out=carried_out)
    assert steps.perform(steps.touch(KEY, NOW + 7200, NOW + 10, NOW), store, lambda: NOW) is True
    assert store.read(KEY, NOW) == changed(OLD, expires_at=NOW + 7200, last_seen=NOW + 10)


# Anything else


def _replaced(store: KeyedStore) -> None:
    current = store.store.read(KEY, NOW)
    assert isinstance(current, Record)
    assert store.store.replace(KEY, THEIRS, current.version, NOW) is True


def _ended(store: KeyedStore) -> None:
    assert store.store.delete(KEY, NOW, note=b"another note") is True


@pytest.mark.parametrize(
    ("name", "carried_out", "meanwhile"),
    [
        ("create", True, _replaced),
        ("create", True, _ended),
        ("replace", True, _replaced),
        ("replace", True, _ended),
        ("replace", False, _replaced),
        ("replace", False, _ended),
        ("delete", False, _ended),
    ],
)
def test_anything_else_is_the_error_that_the_application_gets(
    store: KeyedStore, name: str, carried_out: bool, meanwhile: Callable[[KeyedStore], None]
) -> None:
    """… anything else: the outcome is unknown and that is the error the application gets, nothing is replayed."""
    verb = _prepared(store, name)
    store.lose_answer(verb, carried_out=carried_out)
    store.before("read", lambda: meanwhile(store))
    with pytest.raises(StoreError, match="nobody knows whether the session was saved") as caught:
        _perform(store, name)
    assert isinstance(caught.value.__cause__, AnswerLost)
    assert store.calls == [verb, "read"]


def test_what_others_built_on_a_late_write_is_not_written_again(store: KeyedStore) -> None:
    """… anything else: the outcome is unknown …, nothing is replayed: also at the second try. The first one may have
    arrived late, and another request may have built on it: merged again, a function would count twice."""

    def arrive_and_be_built_on() -> None:
        store.store.replace(KEY, NEW, OLD.version, NOW)
        _replaced(store)

    _prepared(store, "replace")
    store.lose_answer("replace", carried_out=False)
    store.before_each("replace", lambda: None, arrive_and_be_built_on)
    with pytest.raises(StoreError, match="nobody knows whether the session was saved"):
        _perform(store, "replace")


def test_what_is_still_there_was_not_deleted(store: KeyedStore) -> None:
    """After a delete whose answer was lost, a live record of another version: what is deleted leaves a tombstone, which
    nothing replaces. So this is no unknown outcome, but a conflict that was not told; nothing is replayed."""
    _prepared(store, "delete")
    store.lose_answer("delete", carried_out=False)
    store.before("read", lambda: _replaced(store))
    assert _perform(store, "delete") == Conflict(THEIRS)
    assert store.calls == ["delete", "read"]


@pytest.mark.parametrize("name", STEPS)
def test_two_lost_answers_are_an_error(store: KeyedStore, name: str) -> None:
    """… write again: once. If that answer is lost as well, the store is in trouble and the application hears of it."""
    verb = _prepared(store, name)
    store.lose_answer(verb, carried_out=False)
    store.lose_answer(verb, carried_out=False)
    with pytest.raises(StoreError):
        _perform(store, name)
    assert store.calls == [verb, "read", verb]


@pytest.mark.parametrize("name", STEPS)
def test_a_store_that_cannot_be_asked_is_an_error(store: KeyedStore, name: str) -> None:
    """After a write whose answer was lost, a look that fails as well: nobody knows, and nothing is replayed."""
    verb = _prepared(store, name)
    store.lose_answer(verb, carried_out=True)
    store.lose_answer("read", carried_out=False)
    with pytest.raises(StoreError):
        _perform(store, name)
    assert store.calls == [verb, "read"]


@pytest.mark.parametrize("name", STEPS)
def test_a_write_that_arrives_late_is_ones_own(store: KeyedStore, name: str) -> None:
    """… one's own version (or note) is there: it succeeded. Also if the first write was still on its way when the
    store was asked, and has arrived before the second one."""
    verb = _prepared(store, name)
    store.deliver_late(verb)
    assert _perform(store, name) is True


# What visitors notice


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody with a cart."""
    return site.visit(keep(cart=["apple"]))


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_a_visitor_notices_nothing(site: Website, name: str, carried_out: bool) -> None:
    """After a write whose answer was lost, done or not: the answer, and what is stored, are as ever."""
    verb, view = VIEWS[name]
    outcomes = []
    for lost in (False, True):
        visitor = site.visit(keep(cart=["apple"]))
        live = site.store.live(site.clock())
        if lost:
            site.store.lose_answer(verb, carried_out=carried_out)
        answer = site.visit(view, visitor.cookie)
        seen = site.visit(who, answer.cookie).value, site.look(answer.cookie), site.look(visitor.cookie)
        count = len(site.store.live(site.clock())) - len(live)
        outcomes.append((answer.status, len(answer.set_cookies), answer.cookie is None, seen, count))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("carried_out", [True, False])
def test_the_first_write_of_a_session(site: Website, carried_out: bool) -> None:
    """After a create whose answer was lost, done or not: one record, and a cookie that opens it."""
    site.store.lose_answer("create", carried_out=carried_out)
    answer = site.visit(keep(cart=["apple"]))
    assert site.look(answer.cookie) == {"cart": ["apple"]}
    assert site.store.live(site.clock()) == {site.key(answer.cookie)}


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("verb", ["create", "replace"])
def test_a_renewal(store: KeyedStore, clock: Clock, verb: str, carried_out: bool) -> None:
    """After the create or the replace of a renewal whose answer was lost: one new token, one pointer to it."""
    site = Website(store, clock, SESSION_RENEW_AFTER=600)
    visitor = site.visit(keep(cart=["apple"]))
    clock.advance(600)
    store.lose_answer(verb, carried_out=carried_out)
    answer = site.visit(keep(mine=1), visitor.cookie)
    assert answer.cookie not in (None, visitor.cookie)
    assert site.look(visitor.cookie) == site.look(answer.cookie) == {"cart": ["apple"], "mine": 1}
    assert store.live(clock()) == {site.key(visitor.cookie), site.key(answer.cookie)}


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_refresh(site: Website, carried_out: bool) -> None:
    """After a touch whose answer was lost: the session is prolonged, and its cookie goes out."""
    visitor = site.visit(lambda session: (session.update(cart=["apple"]), setattr(session, "permanent", True)))
    site.clock.advance(3600)
    site.store.lose_answer("touch", carried_out=carried_out)
    answer = site.visit(dict, visitor.cookie)
    assert answer.status == 200
    assert len(answer.set_cookies) == 1
    last_seen = site.visit(lambda session: session.last_seen_at.timestamp(), answer.cookie).value
    assert last_seen == site.clock()


def test_an_unknown_outcome_is_a_503_and_what_the_other_wrote_stays(site: Website, visitor: Answer) -> None:
    """… the outcome is unknown and that is the error the application gets, nothing is replayed."""
    site.store.lose_answer("replace", carried_out=True)
    site.store.before("read", lambda: site.store.before("read", lambda: site.visit(keep(cart=[]), visitor.cookie)))
    answer = site.visit(keep(cart=["mine"]), visitor.cookie)
    assert (answer.status, answer.set_cookies) == (503, [])
    assert site.look(visitor.cookie) == {"cart": []}


@in_memory
def test_the_error_names_no_secret(site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """… that is the error the application gets: it names neither a token, nor a value, nor a store key."""
    site.store.lose_answer("replace", carried_out=False)
    site.store.lose_answer("replace", carried_out=False)
    answer = site.visit(keep(mine="a value"), visitor.cookie)
    assert answer.status == 503
    for secret in (str(visitor.cookie), "a value", site.key(visitor.cookie).hex(), repr(site.key(visitor.cookie))):
        assert secret not in caplog.text
        assert secret not in answer.text
