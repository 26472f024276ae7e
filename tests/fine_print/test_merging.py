"""DESIGN §6, "Merging": what two overlapping requests make of one session."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.merge import merge
from coatcheck.stores import Record
from coatcheck.testing import Clock
from coatcheck.tokens import parse_cookie_value
from tests.fine_print.website import SECRET, Answer, KeyedStore, View, Website, keep, who

Values = dict[str, Any]

_REMOVED = object()

keys = st.sampled_from("abcd")
scalars = st.sampled_from([None, False, True, 0, 1, 2, 0.0, -0.0, 1.0, "", "x", b"x"])
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(keys, scalars | st.lists(scalars), max_size=3)
sessions = st.dictionaries(keys, values, max_size=4)


def exactly(value: object) -> str:
    """Return what tells 1, 1.0 and True apart, and the order of a dict too."""
    return repr(value)


def by_key(session: Values) -> dict[str, str]:
    """Return the exact values, whatever the order of the keys."""
    return {key: exactly(value) for key, value in session.items()}


def nested(session: Values, depth: int) -> Values:
    for _ in range(depth):
        session = {"inside": session}
    return session


# The function


@given(sessions, st.dictionaries(keys, st.tuples(st.booleans(), values | st.just(_REMOVED))), st.integers(0, 3))
def test_changes_to_different_keys_all_survive(
    base: Values, changes: dict[str, tuple[bool, Any]], depth: int
) -> None:
    """Dicts merge by key, recursively: changes to different keys all survive, removals too, at any depth."""
    mine, theirs, both = deepcopy(base), deepcopy(base), deepcopy(base)
    for key, (is_mine, value) in changes.items():
        for session in (mine if is_mine else theirs, both):
            session.pop(key, None) if value is _REMOVED else session.update({key: value})
    merged = merge(nested(base, depth), nested(mine, depth), nested(theirs, depth))
    for _ in range(depth):
        (merged,) = merged.values()
    assert by_key(merged) == by_key(both)


@given(sessions, sessions)
def test_what_only_i_changed_is_mine(base: Values, mine: Values) -> None:
    """Where nothing else was stored since, the result is what I made of it."""
    assert by_key(merge(base, mine, deepcopy(base))) == by_key(mine)


@given(sessions, sessions)
def test_what_only_they_changed_is_theirs(base: Values, theirs: Values) -> None:
    """Where I changed nothing, the result is what the other stored, to the order of its keys."""
    assert exactly(merge(base, deepcopy(base), theirs)) == exactly(theirs)


@given(sessions, sessions, sessions)
def test_nothing_is_made_up(base: Values, mine: Values, theirs: Values) -> None:
    """Every key of the result is in mine or theirs, and what mine and theirs agree on by not touching it stays so."""
    before = deepcopy((base, mine, theirs))
    merged = merge(base, mine, theirs)
    assert set(merged) <= set(mine) | set(theirs)
    for key in set(base) & set(mine) & set(theirs):
        if exactly(base[key]) == exactly(mine[key]) == exactly(theirs[key]):
            assert exactly(merged[key]) == exactly(base[key])
    assert exactly(before) == exactly((base, mine, theirs)), "an argument was changed"


@given(st.lists(values, max_size=3), st.lists(values, max_size=3), st.lists(values, max_size=3), st.integers(0, 3))
def test_a_list_that_both_only_appended_to_keeps_both_tails(
    base: list[Any], mine: list[Any], theirs: list[Any], depth: int
) -> None:
    """A list that both only appended to keeps both tails, mine last, since mine is the later commit."""
    merged = merge(
        nested({"list": base}, depth), nested({"list": base + mine}, depth), nested({"list": base + theirs}, depth)
    )
    assert exactly(merged) == exactly(nested({"list": base + theirs + mine}, depth))


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        pytest.param([1, 2], [1, 9], [1, 2, 3], [1, 9], id="I changed an element"),
        pytest.param([1, 2], [1, 2, 3], [1], [1, 2, 3], id="they removed one"),
        pytest.param([1, 2], [2], [1, 2, 3], [2], id="I removed one"),
        pytest.param([1], [True, 2], [1, 3], [True, 2], id="an element that is equal and another"),
        pytest.param((1,), (1, 2), (1, 3), (1, 2), id="a tuple is no list"),
        pytest.param({1}, {1, 2}, {1, 3}, {1, 2}, id="nor is a set"),
        pytest.param("a", "ab", "ac", "ab", id="nor is a str"),
        pytest.param(1, 2, 3, 2, id="both changed a number"),
        pytest.param({"x": 1}, [1], {"x": 2}, [1], id="I made a list of a dict"),
        pytest.param({"x": 1}, {"x": 2}, 5, {"x": 2}, id="they made a number of it"),
    ],
)
def test_anything_else_is_mine(base: Any, mine: Any, theirs: Any, merged: Any) -> None:
    """… anything else: mine, the later commit."""
    assert exactly(merge({"k": base}, {"k": mine}, {"k": theirs})) == exactly({"k": merged})


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        pytest.param({"k": 1, "o": 1}, {"o": 1}, {"k": 1, "o": 2}, {"o": 2}, id="I removed it"),
        pytest.param({"k": 1, "o": 1}, {"k": 1, "o": 2}, {"o": 1}, {"o": 2}, id="they removed it"),
        pytest.param({"k": 1}, {}, {"k": 2}, {}, id="I removed what they changed"),
        pytest.param({"k": 1}, {"k": 2}, {}, {"k": 2}, id="they removed what I changed"),
        pytest.param({"k": {"x": 1, "y": 1}}, {"k": {"y": 1}}, {"k": {"x": 1, "y": 2}}, {"k": {"y": 2}}, id="inside"),
    ],
)
def test_removing_a_key(base: Values, mine: Values, theirs: Values, merged: Values) -> None:
    """Removing a key wins over not changing it; against a change of the other, the later commit wins."""
    assert merge(base, mine, theirs) == merged


def test_two_new_dicts_are_one() -> None:
    """Dicts merge by key, recursively: also one that both made at the same place."""
    assert merge({}, {"k": {"mine": 1}}, {"k": {"theirs": 2}}) == {"k": {"theirs": 2, "mine": 1}}


@pytest.mark.parametrize("base", [1, 1.0, True])
@pytest.mark.parametrize("mine", [1, 1.0, True])
@pytest.mark.parametrize("theirs", [1, 1.0, True])
def test_equal_numbers_are_different_values(base: object, mine: object, theirs: object) -> None:
    """1, 1.0 and True are three values: to change one into another is a change, and not to is none."""
    expected = theirs if type(mine) is type(base) else mine
    assert exactly(merge({"k": [base]}, {"k": [mine]}, {"k": [theirs]})) == exactly({"k": [expected]})


def test_the_order_of_keys() -> None:
    """Keys stand as the other stored them, and my new ones behind, in the order in which I made them."""
    merged = merge({"a": 1, "b": 1}, {"z": 1, "a": 1, "b": 2, "y": 1}, {"c": 1, "b": 1, "a": 1})
    assert list(merged) == ["c", "b", "a", "z", "y"]


@pytest.mark.parametrize("depth", [50, 240])
def test_depth_is_no_danger(depth: int) -> None:
    """Sessions as deep as can be stored are merged without an error; below the hundredth level mine counts whole."""
    merged = merge(nested({}, depth), nested({"mine": 1}, depth), nested({"theirs": 1}, depth))
    for _ in range(depth):
        merged = merged["inside"]
    assert list(merged) == (["theirs", "mine"] if depth < 100 else ["mine"])


# Through a website


@pytest.fixture
def visitor(site: Website) -> Answer:
    return site.visit(keep(a=1, cart=["apple"], nested={"x": 1, "y": 1}))


def overlap(site: Website, visitor: Answer, theirs: View, mine: View, before: str = "replace") -> Answer:
    """Let a request with ``mine`` begin, then one with ``theirs`` run from end to end, and then the first one end."""
    site.store.before(before, lambda: site.visit(theirs, visitor.cookie))
    return site.visit(mine, visitor.cookie)


def pop(*names: str) -> View:
    return lambda session: [session.pop(name) for name in names]


def append(name: str, value: object) -> View:
    return lambda session: session[name].append(value)


OVERLAPS: dict[str, tuple[View, View, Values]] = {
    "different keys": (keep(t=1), keep(m=1), {"t": 1, "m": 1}),
    "one key": (keep(a="theirs"), keep(a="mine"), {"a": "mine"}),
    "two appends": (append("cart", "pear"), append("cart", "fig"), {"cart": ["apple", "pear", "fig"]}),
    "inside a dict": (lambda s: s["nested"].update(x=2), lambda s: s["nested"].pop("y"), {"nested": {"x": 2}}),
    "I remove": (keep(t=1), pop("a"), {"t": 1, "a": _REMOVED}),
    "they remove": (pop("a"), keep(m=1), {"m": 1, "a": _REMOVED}),
    "permanent is a key like others": (
        lambda s: setattr(s, "permanent", True), keep(m=1), {"_permanent": True, "m": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlapping_requests_merge(site: Website, visitor: Answer, name: str) -> None:
    """Merging, base = what was loaded, mine, theirs = what won: both requests' changes are in what is stored."""
    theirs, mine, changes = OVERLAPS[name]
    expected = {**site.look(visitor.cookie), **changes}
    answer = overlap(site, visitor, theirs, mine)
    assert site.look(answer.cookie) == {key: value for key, value in expected.items() if value is not _REMOVED}


def test_many_in_between(site: Website, visitor: Answer) -> None:
    """However many others were faster, each change of each of them survives."""
    others = [lambda n=n: site.visit(keep(**{f"t{n}": n}), visitor.cookie) for n in range(5)]
    site.store.before_each("replace", *others)
    site.visit(keep(m=1), visitor.cookie)
    assert site.look(visitor.cookie).items() >= {"m": 1, "t0": 0, "t1": 1, "t2": 2, "t3": 3, "t4": 4}.items()


def test_a_merge_that_changes_nothing_writes_nothing(site: Website, visitor: Answer) -> None:
    """Where the winner already stored what I want, there is nothing more to write (law 5)."""
    site.store.before("replace", lambda: site.visit(keep(b=1), visitor.cookie))
    assert site.calls(keep(b=1), visitor.cookie) == ["read", "replace", "read", "replace"]  # mine, and theirs within


@pytest.mark.parametrize(
    "empty",
    [pop("a", "cart", "nested"), lambda s: [s.popitem() for _ in range(3)], lambda s: [s.__delitem__(k) for k in [*s]]],
    ids=["pop", "popitem", "del"],
)
def test_emptied_by_pop_or_del_is_a_delete(site: Website, visitor: Answer, empty: View) -> None:
    """Emptied by `pop`/`del`: a `delete` …, and the cookie goes too."""
    before = len(site.store.calls)
    assert site.visit(empty, visitor.cookie).cookie is None
    assert site.store.calls[before:] == ["read", "delete"]
    assert site.store.live(site.clock()) == set()


def test_emptied_by_pop_meets_a_write(site: Website, visitor: Answer) -> None:
    """Emptied by `pop`/`del`: a `delete` with the version; on conflict merge. What the other wrote stays."""
    answer = overlap(site, visitor, keep(t=1), pop("a", "cart", "nested"), before="delete")
    assert answer.cookie == visitor.cookie
    assert site.look(visitor.cookie) == {"t": 1}


def test_emptied_by_both_together(site: Website) -> None:
    """Two requests that each remove one of two keys leave an empty session: it is deleted, and so is the cookie."""
    visitor = site.visit(keep(a=1, b=1))
    answer = overlap(site, visitor, pop("a"), pop("b"))
    assert answer.cookie is None
    assert site.store.live(site.clock()) == set()


def test_rotated_and_emptied_by_both_together(site: Website) -> None:
    """A session that holds nothing is empty and not stored: also where one of the two had it rotated."""
    visitor = site.visit(keep(a=1, b=1))
    overlap(site, visitor, pop("a"), lambda session: (session.pop("b"), session.rotate()), before="delete")
    assert site.store.live(site.clock()) == set()


def test_renewed_and_emptied_by_both_together(store: KeyedStore, clock: Clock) -> None:
    """… is empty and not stored: also where one of the two was to renew its token."""
    site = Website(store, clock, SESSION_RENEW_AFTER=900)
    visitor = site.visit(keep(a=1, b=1))
    clock.advance(900)

    def a_second_earlier() -> None:
        clock.advance(-1)
        site.visit(pop("a"), visitor.cookie)
        clock.advance(1)

    store.before("replace", a_second_earlier)
    site.visit(pop("b"), visitor.cookie)
    assert site.look(visitor.cookie) == {}
    assert store.live(clock()) == set()


@pytest.mark.parametrize("end", ["clear", "logout"])
@pytest.mark.parametrize("times", [1, 3])
def test_clear_wins_over_every_write(site: Website, visitor: Answer, end: str, times: int) -> None:
    """`clear()`/`logout()`: an unconditional `delete`, it wins over every write, however many come in between."""
    writes = [lambda n=n: site.visit(keep(t=n), visitor.cookie) for n in range(times)]
    site.store.before_each("delete", *writes)
    answer = site.visit(lambda session: getattr(session, end)(), visitor.cookie)
    assert answer.cookie is None
    assert site.store.live(site.clock()) == set()


@pytest.mark.parametrize("end", ["clear", "logout"])
def test_a_write_never_undoes_a_clear(site: Website, visitor: Answer, end: str) -> None:
    """… it wins over every write: one that was under way already changes nothing any more."""
    answer = overlap(site, visitor, lambda session: getattr(session, end)(), keep(m=1))
    assert answer.set_cookies == []
    assert site.store.live(site.clock()) == set()


def make_it_bobs(site: Website, cookie: str | None) -> None:
    """Store another user's session at this token. Only whoever holds the keys can, so no request of ours does it."""
    assert cookie is not None
    parsed, now, key = parse_cookie_value(cookie), site.clock(), site.key(cookie)
    record = site.store.store.read(key, now)
    assert parsed is not None
    assert isinstance(record, Record)
    records = site.manager.lifecycle((SECRET,)).records
    opened = records.open(parsed.token, record)
    bobs = records.seal(parsed.token, opened.life._replace(user="bob"), opened.values, record.expires_at, now)
    assert site.store.store.replace(key, bobs, record.version, now) is True


def test_the_winner_is_another_user(site: Website, caplog: pytest.LogCaptureFixture) -> None:
    """If the winner's *user* is not the one that was loaded, my changes are dropped with an event."""
    ann = site.visit(lambda session: (session.login("ann"), session.update(a=1)))
    site.store.before("replace", lambda: make_it_bobs(site, ann.cookie))
    answer = site.visit(keep(secret_of_ann="s3cr3t"), ann.cookie)
    assert (answer.status, answer.set_cookies) == (200, [])
    assert site.look(ann.cookie) == {"a": 1}
    assert site.visit(who, ann.cookie).value == "bob"
    (event,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert event.event == "user_changed"  # type: ignore[attr-defined]
    assert "s3cr3t" not in event.getMessage()


def test_permanent_is_a_key_like_others(site: Website) -> None:
    """`permanent` is a key like others; a session that holds nothing else is empty and not stored."""
    def permanent(session: Any) -> None:
        session.permanent = True

    visitor = site.visit(lambda session: (permanent(session), session.update(a=1)))
    assert site.look(visitor.cookie) == {"_permanent": True, "a": 1}
    assert site.calls(permanent) == []
    assert site.visit(permanent).set_cookies == []
    assert site.visit(pop("a"), visitor.cookie).cookie is None
    assert site.store.live(site.clock()) == set()


def test_what_only_permanent_is_left_of(site: Website) -> None:
    """… also if it is a merge that leaves nothing else: mine removes the last key, theirs made it permanent."""
    visitor = site.visit(keep(a=1))
    overlap(site, visitor, lambda s: setattr(s, "permanent", True), pop("a"), before="delete")
    assert site.store.live(site.clock()) == set()

