"""DESIGN §6, "Rotation and login"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coatcheck.crypto.keyring import Keyring
from coatcheck.crypto.sealing import Purpose, Sealer, Unsealable
from coatcheck.session import Session
from coatcheck.stores import Ended, Record
from coatcheck.testing import Clock
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

ROTATIONS: dict[str, View] = {
    "login": lambda session: session.login("ann"),
    "reauthenticated": lambda session: session.reauthenticated(),
    "rotate": lambda session: session.rotate(),
    "regenerate": lambda session: session.regenerate(),
    "another identity": keep(user_id=7),
}
login, rotate = ROTATIONS["login"], ROTATIONS["rotate"]


@pytest.fixture(params=ROTATIONS)
def rotation(request: pytest.FixtureRequest) -> View:
    """Each way to get a new token, as a view."""
    return ROTATIONS[request.param]


@pytest.fixture(params=[name for name in ROTATIONS if name != "login"])
def rotation_only(request: pytest.FixtureRequest) -> View:
    """Each way that takes a session to rotate."""
    return ROTATIONS[request.param]


@pytest.fixture
def ann(site: Website) -> Answer:
    """Somebody who has logged in, with a cart."""
    return site.visit(lambda session: (session.login("ann"), session.update(cart=["apple"])))


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody who has not, with a cart."""
    return site.visit(keep(cart=["apple"]))


# The old token and the new one


def test_the_old_token_ends_at_once(site: Website, ann: Answer, rotation: View) -> None:
    """`login()`, `reauthenticated()`, `rotate()` (= `regenerate()`) end the old token at once."""
    rotated = site.visit(rotation, ann.cookie)
    assert rotated.cookie != ann.cookie
    assert site.visit(who, rotated.cookie).value == "ann"
    assert site.look(rotated.cookie)["cart"] == ["apple"]
    assert site.look(ann.cookie) == {}


def test_no_way_leads_from_the_old_token_to_the_new_one(site: Website, ann: Answer, rotation: View) -> None:
    """… end the old token at once and leave no way from it to the new one: no answer to it brings the session."""
    site.visit(rotation, ann.cookie)
    for again in (dict, rotate, keep(late=1), lambda session: session.atomic(keep(late=1))):
        answer = site.visit(again, ann.cookie)
        assert site.visit(who, answer.cookie).value is None
        assert "cart" not in site.look(answer.cookie)


def test_regenerate_is_rotate() -> None:
    """`rotate()` (= `regenerate()`)."""
    assert Session.regenerate is Session.rotate


def test_a_rotation_keeps_the_session(site: Website, ann: Answer, rotation: View) -> None:
    """A new token for the same session (DESIGN §2): its handle and its beginning stay."""
    before = site.visit(lambda session: (session.handle, session.created_at), ann.cookie).value
    site.clock.advance(50)
    rotated = site.visit(rotation, ann.cookie)
    assert site.visit(lambda session: (session.handle, session.created_at), rotated.cookie).value == before


@in_memory
@pytest.mark.parametrize(("verb", "seconds"), [("login", 50), ("reauthenticated", 50), ("rotate", 0)])
def test_login_and_reauthentication_restart_both_clocks(
    store: KeyedStore, clock: Clock, verb: str, seconds: float
) -> None:
    """Login and re-authentication restart both clocks (DESIGN §6, Timeouts); a mere rotation does not."""
    site = Website(store, clock, SESSION_ABSOLUTE=100)
    ann = site.visit(login)
    clock.advance(50)
    rotated = site.visit(ROTATIONS[verb], ann.cookie)
    ends = site.visit(lambda session: session.expires_at, rotated.cookie).value
    assert ends.timestamp() == clock() + 50 + seconds


@in_memory
def test_reauthentication_needs_somebody_who_is_logged_in(site: Website, visitor: Answer) -> None:
    """`reauthenticated()` where nobody is logged in says what to call instead."""
    with pytest.raises(ValueError, match=r"nobody is logged in; call login\(user\) instead"):
        site.visit(ROTATIONS["reauthenticated"], visitor.cookie)


# Its order


def test_the_new_record_comes_before_the_old_one_goes(site: Website, ann: Answer, rotation: View) -> None:
    """Order: index, `create` the new record, `delete` the old one. (There is no index yet.)"""
    assert site.calls(rotation, ann.cookie) == ["read", "create", "delete"]


def test_writes_in_between_are_merged_into_the_new_record(site: Website, ann: Answer, rotation: View) -> None:
    """`delete` the old one *with its version* (conflict: merge into the new one and try again)."""
    writes = [lambda key=key: site.visit(keep(**{key: 1}), ann.cookie) for key in ("first", "second", "third")]
    site.store.before_each("delete", *writes)
    rotated = site.visit(lambda session: (session.update(mine=1), rotation(session)), ann.cookie)
    assert site.look(rotated.cookie).keys() >= {"cart", "mine", "first", "second", "third"}
    assert site.look(ann.cookie) == {}
    assert site.store.live(site.clock()) == {site.key(rotated.cookie)}


def test_what_both_changed_is_merged_in_a_rotation_as_anywhere(site: Website, ann: Answer, rotation: View) -> None:
    """(conflict: merge into the new one …): both tails of a list, and a function replayed on the other's values."""
    site.store.before("delete", lambda: site.visit(_add("pear"), ann.cookie))
    rotated = site.visit(lambda session: (rotation(session), _add("plum")(session)), ann.cookie)
    assert site.look(rotated.cookie)["cart"] == ["apple", "pear", "plum"]
    assert site.look(rotated.cookie)["n"] == 2


def _add(fruit: str) -> View:
    return lambda session: (
        session["cart"].append(fruit),
        session.atomic(lambda s: s.update(n=s.get("n", 0) + 1)),
    )


# Ended meanwhile


def test_a_rotation_of_an_ended_session_leaves_nothing(
    site: Website, ann: Answer, rotation_only: View, caplog: pytest.LogCaptureFixture
) -> None:
    """*Ended* at `rotate()` or `reauthenticated()`: the new record is deleted and the response stays anonymous."""
    site.store.before("delete", lambda: site.visit(logout, ann.cookie))
    late = site.visit(rotation_only, ann.cookie)
    assert (late.status, late.text, late.set_cookies) == (200, "done", [])
    assert site.store.live(site.clock()) == set()
    assert [record.event for record in caplog.records if hasattr(record, "event")] == ["commit_after_end"]


def test_of_two_rotations_one_wins(site: Website, ann: Answer, rotation_only: View) -> None:
    """*Ended* at `rotate()` by another rotation: the response stays anonymous, and the other's token is the one."""
    others: list[Answer] = []
    site.store.before("delete", lambda: others.append(site.visit(rotate, ann.cookie)))
    assert site.visit(rotation_only, ann.cookie).set_cookies == []
    assert site.store.live(site.clock()) == {site.key(others[0].cookie)}
    assert site.look(others[0].cookie) == {"cart": ["apple"]}


@pytest.mark.parametrize("other", [logout, login, rotate], ids=["logout", "login", "rotate"])
def test_a_login_needs_no_old_session(site: Website, visitor: Answer, other: View) -> None:
    """*Ended* at a login: the new record stays, with what this request itself wrote, under a new handle."""
    first: list[Answer] = []
    site.store.before("delete", lambda: first.append(site.visit(other, visitor.cookie)))
    mine = site.visit(lambda session: (session.login("ann"), session.update(mine=1)), visitor.cookie)
    assert site.visit(who, mine.cookie).value == "ann"
    assert site.look(mine.cookie) == {"mine": 1}
    handles = {_handle(site, answer) for answer in (mine, *first)}
    assert len(handles) == 2
    assert site.visit(lambda session: session.created_at.timestamp(), mine.cookie).value == site.clock()


def test_the_login_button_is_clicked_twice(site: Website, visitor: Answer) -> None:
    """… since a login needs no old session (think of a login button clicked twice): both answers are logged in."""
    handle = _handle(site, visitor)
    first: list[Answer] = []
    site.store.before("delete", lambda: first.append(site.visit(login, visitor.cookie)))
    second = site.visit(login, visitor.cookie)
    for answer in (first[0], second):
        assert site.visit(who, answer.cookie).value == "ann"
    assert site.look(first[0].cookie) == {"cart": ["apple"]}  # the first one took the session with it
    assert _handle(site, first[0]) == handle
    assert _handle(site, second) != handle


def _handle(site: Website, answer: Answer) -> Any:
    return site.visit(lambda session: session.handle, answer.cookie).value


# A crash at each step


@pytest.mark.parametrize(("moment", "verb"), [("before", "create"), ("after", "create"), ("before", "delete")])
def test_a_crash_in_between_leaves_the_old_token_as_it_was(
    site: Website, ann: Answer, rotation: View, moment: str, verb: str
) -> None:
    """A crash in between leaves the user's old token as it was."""
    getattr(site.store, moment)(verb, kill)
    with pytest.raises(Killed):
        site.visit(lambda session: (session.update(mine=1), rotation(session)), ann.cookie)
    assert site.visit(who, ann.cookie).value == "ann"
    assert site.look(ann.cookie) == {"cart": ["apple"]}
    rotated = site.visit(rotation, ann.cookie)  # and nothing stands in the way of another try
    assert site.visit(who, rotated.cookie).value == "ann"
    assert site.look(ann.cookie) == {}


@pytest.mark.parametrize(("moment", "verb"), [("before", "replace"), ("after", "replace")])
def test_a_crash_while_it_merges_leaves_the_old_token_as_the_other_left_it(
    site: Website, ann: Answer, rotation: View, moment: str, verb: str
) -> None:
    """A crash in between leaves the user's old token as it was: with what another request wrote meanwhile."""

    def write_then_plan_the_crash() -> None:
        site.visit(keep(theirs=1), ann.cookie)
        getattr(site.store, moment)(verb, kill)

    site.store.before("delete", write_then_plan_the_crash)
    with pytest.raises(Killed):
        site.visit(lambda session: (session.update(mine=1), rotation(session)), ann.cookie)
    assert site.visit(who, ann.cookie).value == "ann"
    assert site.look(ann.cookie) == {"cart": ["apple"], "theirs": 1}


def test_a_crash_after_the_last_step_leaves_a_dead_token(site: Website, ann: Answer, rotation: View) -> None:
    """… end the old token at once: also if the process dies before the new one is sent. Nobody ever holds that."""
    site.store.after("delete", kill)
    with pytest.raises(Killed):
        site.visit(rotation, ann.cookie)
    assert site.visit(who, ann.cookie).value is None
    assert site.look(ann.cookie) == {}


@pytest.mark.parametrize(("moment", "verb"), [("before", "create"), ("after", "create"), ("before", "delete")])
def test_a_logout_after_a_crash_ends_all_that_can_be_reached(
    site: Website, ann: Answer, moment: str, verb: str
) -> None:
    """A crash in between leaves the user's old token as it was: a logout by it ends all that anybody can reach."""
    getattr(site.store, moment)(verb, kill)
    with pytest.raises(Killed):
        site.visit(rotate, ann.cookie)
    assert site.visit(logout, ann.cookie).cookie is None
    assert site.look(ann.cookie) == {}


# The tombstone's note


def _tombstone(site: Website, cookie: str | None) -> Ended:
    found = site.store.read(site.key(cookie), site.clock())
    assert isinstance(found, Ended)
    return found


def test_the_note_names_the_next_store_key(site: Website, ann: Answer, rotation: View) -> None:
    """The tombstone notes, sealed under the keyring, the next store key."""
    rotated = site.visit(rotation, ann.cookie)
    old, new = site.key(ann.cookie), site.key(rotated.cookie)
    note = _tombstone(site, ann.cookie).note
    assert note is not None
    assert new not in note
    assert Sealer(Keyring((SECRET,)), "default").open(Purpose.NOTE, note, old) == new
    for sealer, key in (
        (Sealer(Keyring((SECRET[::-1],)), "default"), old),
        (Sealer(Keyring((SECRET,)), "another"), old),
        (Sealer(Keyring((SECRET,)), "default"), new),
    ):
        with pytest.raises(Unsealable):
            sealer.open(Purpose.NOTE, note, key)


def test_a_logout_that_began_before_the_rotation_ends_the_session(site: Website, ann: Answer, rotation: View) -> None:
    """… a logout or revoke that arrives by the old token still ends the session: one that overlaps the rotation."""
    rotated: list[Answer] = []
    site.store.before("delete", lambda: rotated.append(site.visit(rotation, ann.cookie)))
    out = site.visit(logout, ann.cookie)
    assert out.cookie is None
    assert site.look(rotated[0].cookie) == {}
    assert site.store.live(site.clock()) == set()


def test_a_logout_that_comes_after_the_rotation_ends_the_session(site: Website, ann: Answer, rotation: View) -> None:
    """… a logout or revoke that arrives by the old token still ends the session: one sent before the new one came."""
    rotated = site.visit(rotation, ann.cookie)
    out = site.visit(logout, ann.cookie)
    assert site.visit(who, rotated.cookie).value is None
    assert site.store.live(site.clock()) == set()
    assert out.cookie is None  # this request ended a live session (DESIGN §6, A late commit)


def test_a_logout_by_the_first_of_several_tokens_ends_the_session(site: Website, ann: Answer) -> None:
    """… a logout or revoke that arrives by the old token still ends the session: from tombstone to tombstone."""
    latest = ann
    for _ in range(3):
        latest = site.visit(rotate, latest.cookie)
    site.visit(logout, ann.cookie)
    assert site.look(latest.cookie) == {}
    assert site.store.live(site.clock()) == set()


def test_a_clear_by_the_old_token_ends_the_session(site: Website, ann: Answer) -> None:
    """… a logout that arrives by the old token still ends the session; what is written after it starts a new one."""
    rotated = site.visit(rotate, ann.cookie)
    again = site.visit(lambda session: (session.clear(), session.update(mine=1)), ann.cookie)
    assert site.look(rotated.cookie) == {}
    assert site.look(again.cookie) == {"mine": 1}


@pytest.mark.parametrize(
    "act",
    [
        dict,
        keep(late=1),
        rotate,
        lambda session: session.login("bob"),
        lambda session: session.atomic(keep(late=1)),
        lambda session: session.pop("cart", None),
        lambda session: setattr(session, "permanent", True),
    ],
    ids=["read", "write", "rotate", "login", "atomic", "pop", "permanent"],
)
def test_nothing_else_can_be_done_with_the_note(site: Website, ann: Answer, act: View) -> None:
    """… a logout or revoke that arrives by the old token still ends the session; nothing else can be done with it."""
    rotated = site.visit(rotate, ann.cookie)
    key = site.key(rotated.cookie)
    before = site.store.read(key, site.clock())
    assert isinstance(before, Record)
    site.clock.advance(30)
    site.visit(act, ann.cookie)
    assert site.store.read(key, site.clock()) == before


# login() and who was logged in before


def test_the_login_of_another_user_ends_the_first_ones_session(site: Website, ann: Answer) -> None:
    """`login()` of another user than the one logged in first ends that session as `clear()` does."""
    bob = site.visit(lambda session: (session.login("bob"), dict(session), session.handle), ann.cookie)
    assert bob.value == (None, {}, None)  # at once, in the view
    assert site.visit(who, bob.cookie).value == "bob"
    assert site.look(bob.cookie) == {}
    assert site.look(ann.cookie) == {}
    assert _handle(site, bob) is not None
    assert site.store.live(site.clock()) == {site.key(bob.cookie)}


def test_what_was_written_before_the_login_of_another_user_is_gone(site: Website, ann: Answer) -> None:
    """`login()` of another user … ends that session as `clear()` does: what the view wrote before belongs to it."""

    def view(session: Session) -> None:
        session["note"] = "of ann"
        session.login("bob")
        session["another note"] = "of bob"

    assert site.look(site.visit(view, ann.cookie).cookie) == {"another note": "of bob"}


@in_memory
@pytest.mark.parametrize(("first", "second"), [("ann", "ann"), (7, 7), (7, "7")])
def test_the_login_of_the_same_user_keeps_the_session(
    site: Website, first: str | int, second: str | int
) -> None:
    """`login()` of another user … (any string or int, indexed as `str(user)`): the same one keeps what there is."""
    one = site.visit(lambda session: (session.login(first), session.update(cart=["apple"])))
    two = site.visit(lambda session: session.login(second), one.cookie)
    assert site.look(two.cookie) == {"cart": ["apple"]}
    assert _handle(site, two) is not None
    assert site.look(one.cookie) == {}


def test_a_login_keeps_the_cart(site: Website, visitor: Answer) -> None:
    """… from anonymous it keeps the data (the cart)."""
    ann = site.visit(login, visitor.cookie)
    assert site.look(ann.cookie) == {"cart": ["apple"]}
    assert site.visit(who, ann.cookie).value == "ann"


def test_a_planted_token_stays_anonymous(site: Website, visitor: Answer) -> None:
    """Law 9: a token that an attacker planted before stays anonymous."""
    site.visit(login, visitor.cookie)
    assert site.visit(who, visitor.cookie).value is None
    assert site.look(visitor.cookie) == {}


# policy.identity_keys


def _rotates(site: Website, key: str, before: Any, after: Any) -> bool:
    """Say whether a change of one key, from absent if ``...``, to absent if ``...``, rotates; the change is saved."""
    first = site.visit(keep(other=1) if before is ... else keep(other=1, **{key: before}))
    second = site.visit((lambda session: session.pop(key)) if after is ... else keep(**{key: after}), first.cookie)
    assert site.look(second.cookie) == ({"other": 1} if after is ... else {"other": 1, key: after})
    if second.cookie != first.cookie:
        assert site.look(first.cookie) == {}
    return second.cookie != first.cookie


@in_memory
@pytest.mark.parametrize("key", ["user_id", "_user_id", "user", "username"])
def test_the_identity_keys(site: Website, key: str) -> None:
    """A key of `policy.identity_keys` (`user_id`, `_user_id`, `user`, `username`) … rotates the token by itself."""
    assert _rotates(site, key, ..., 7)
    assert not _rotates(site, f"{key}_", ..., 7)


@in_memory
@pytest.mark.parametrize("falsy", [..., None, 0, "", False, [], {}, b""], ids=repr)
@pytest.mark.parametrize("truthy", [7, "ann", {"id": 7}, ["ann"], True], ids=repr)
def test_an_identity_that_appears_rotates(site: Website, falsy: Any, truthy: Any) -> None:
    """A key of `policy.identity_keys` that goes from missing or falsy to truthy … rotates the token by itself."""
    assert _rotates(site, "user", falsy, truthy)


@in_memory
@pytest.mark.parametrize(("before", "after"), [(7, 8), ("ann", "bob"), (7, "7"), (b"a", "a"), (1.5, 2)])
def test_another_scalar_rotates(site: Website, before: Any, after: Any) -> None:
    """… or from one *scalar* to another, rotates the token by itself."""
    assert _rotates(site, "user_id", before, after)


@in_memory
@pytest.mark.parametrize(
    ("before", "after"),
    [({"id": 7}, {"id": 7, "theme": "dark"}), (["ann"], ["ann", "admin"]), (("ann",), ("bob",)), ({7}, {8})],
)
def test_a_container_that_changes_inside_is_a_plain_write(site: Website, before: Any, after: Any) -> None:
    """… a container that changes inside or a key that goes away is a plain write."""
    assert not _rotates(site, "user", before, after)


@in_memory
@pytest.mark.parametrize("before", [7, "ann", {"id": 7}])
def test_a_key_that_goes_away_is_a_plain_write(site: Website, before: Any) -> None:
    """… a container that changes inside or a key that goes away is a plain write."""
    assert not _rotates(site, "user", before, ...)


def test_a_container_changed_in_place_is_a_plain_write(site: Website) -> None:
    """… a container that changes inside … is a plain write: one replace."""
    first = site.visit(keep(user={"id": 7}))
    assert site.calls(lambda session: session["user"].update(theme="dark"), first.cookie) == ["read", "replace"]


@in_memory
@pytest.mark.parametrize(("before", "after"), [(..., 0), (..., None), (None, ""), (7, 7), ("ann", "ann")])
def test_an_identity_that_stays_or_is_none_does_not_rotate(site: Website, before: Any, after: Any) -> None:
    """A key … that goes from missing or falsy to truthy, or from one scalar to another: nothing else rotates."""
    assert not _rotates(site, "user", before, after)


@in_memory
def test_the_application_names_its_identity_keys(store: KeyedStore, clock: Clock) -> None:
    """A key of `policy.identity_keys`: the policy's, in the place of the usual ones."""
    site = Website(store, clock, SESSION_IDENTITY_KEYS=("member",))
    assert _rotates(site, "member", ..., 7)
    assert not _rotates(site, "user_id", ..., 7)


def test_an_identity_only_rotates(site: Website) -> None:
    """It only rotates: who is logged in, index and limits come from `login()` alone."""
    first = site.visit(keep(other=1))
    second = site.visit(lambda session: (session.update(user_id=7), session.logged_in_as), first.cookie)
    assert second.value[1] is None
    assert site.visit(who, second.cookie).value is None
    record = site.store.read(site.key(second.cookie), site.clock())
    assert isinstance(record, Record)
    assert record.meta == b""  # where the user of a login stands


# clear() and then set


def start_again(session: Session) -> None:
    session.clear()
    session["user_id"] = 7


def test_flasks_login_recipe_gives_a_new_token(site: Website, visitor: Answer) -> None:
    """`session.clear()` ends the session; what is written afterwards in the same request starts a new one with a new
    token (Flask's documented login recipe is `clear()` and then set)."""
    again = site.visit(start_again, visitor.cookie)
    assert again.cookie != visitor.cookie
    assert site.look(again.cookie) == {"user_id": 7}
    assert site.look(visitor.cookie) == {}
    assert site.store.live(site.clock()) == {site.key(again.cookie)}


def test_what_clear_starts_is_another_session(site: Website, visitor: Answer) -> None:
    """`session.clear()` ends the session; what is written afterwards … starts a new one: another handle and time."""
    before = site.visit(lambda session: (session.handle, session.created_at), visitor.cookie).value
    site.clock.advance(timedelta(minutes=1))
    again = site.visit(start_again, visitor.cookie)
    after = site.visit(lambda session: (session.handle, session.created_at), again.cookie).value
    assert after[0] != before[0]
    assert after[1] == before[1] + timedelta(minutes=1)


@pytest.mark.parametrize(("moment", "verb"), [("before", "create"), ("after", "create"), ("before", "delete")])
def test_a_crash_in_the_login_recipe_leaves_the_old_session(
    site: Website, visitor: Answer, moment: str, verb: str
) -> None:
    """A crash in between leaves the user's old token as it was: also where `clear()` is followed by a new session."""
    getattr(site.store, moment)(verb, kill)
    with pytest.raises(Killed):
        site.visit(start_again, visitor.cookie)
    assert site.look(visitor.cookie) == {"cart": ["apple"]}


def test_the_recipe_wins_over_what_others_write(site: Website, visitor: Answer) -> None:
    """`session.clear()` ends the session: nothing that others write meanwhile reaches the new one."""
    site.store.before("delete", lambda: site.visit(keep(theirs=1), visitor.cookie))
    again = site.visit(start_again, visitor.cookie)
    assert site.look(again.cookie) == {"user_id": 7}
    assert site.look(visitor.cookie) == {}
