"""Laws 1 and 2 in every order of the store verbs of overlapping requests, and with a fault at each of them.

What a request does, and what else overlaps with it, is chosen from a few actions; the explorer runs each order of
their steps that can make a difference, and the laws are checked at the end of each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, product
from typing import Any, get_args

import pytest

from coatcheck import lifecycle
from coatcheck.errors import CommitConflict
from coatcheck.loading import Found
from coatcheck.records import POINTER_SECONDS
from coatcheck.session import Session
from coatcheck.steps import Pause, perform
from coatcheck.stores import Conflict, MemoryStore, Record
from tests.fine_print import explorer
from tests.fine_print.explorer import (
    LIFECYCLE,
    NOW,
    RENEW_AFTER,
    Action,
    Beginning,
    Fault,
    FaultKind,
    Request,
    World,
    explore,
)

# What requests do. Each writes its own name under its name, and so shows in the end whether it was lost.


def _also_write(act: Callable[[Session], object]) -> Callable[[Session, str], None]:
    def view(session: Session, name: str) -> None:
        act(session)
        session[name] = name

    return view


def _increment(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def _remove_the_rest(session: Session) -> None:
    for key in session.keys() - {"base"}:
        del session[key]


READ = Action("read", lambda session, name: None)
WRITE = Action("write", _also_write(lambda session: None))
WRITE_SAME = Action("write the same key", lambda session, name: session.update(same=name))
APPEND = Action("append", lambda session, name: session.setdefault("list", []).append(name))
COUNT = Action("count", lambda session, name: session.atomic(_increment))
POP_ALL = Action("pop all", lambda session, name: [session.pop(key) for key in list(session)])
LOGOUT = Action("logout", lambda session, name: session.logout())
SLOW_LOGOUT = Action("slow logout", LOGOUT.view, seconds=RENEW_AFTER + 2 * POINTER_SECONDS)
START_AGAIN = Action("start again", _also_write(lambda session: session.clear()))
LOGIN = Action("login", _also_write(lambda session: session.login("ann")))
SWITCH = Action("login of another", _also_write(lambda session: session.login("bob")))
ROTATE = Action("rotate", _also_write(lambda session: session.rotate()))
IDENTIFY = Action("identify", _also_write(lambda session: session.update(user_id=7)))
REMOVE = Action("remove", lambda session, name: session.pop("base", None))
ROTATE_AND_REMOVE = Action("rotate and remove", lambda session, name: (session.rotate(), _remove_the_rest(session)))
RENEW = Action("renew", READ.view, late=True)
RENEW_WRITE = Action("renew and write", WRITE.view, late=True)
RENEW_COUNT = Action("renew and count", COUNT.view, late=True)
RENEW_AND_REMOVE = Action("renew and remove", lambda session, name: _remove_the_rest(session), late=True)

ALL = (
    READ, WRITE, WRITE_SAME, APPEND, COUNT, POP_ALL, LOGOUT, SLOW_LOGOUT, START_AGAIN, LOGIN, SWITCH, ROTATE, IDENTIFY,
    RENEW, RENEW_WRITE, RENEW_COUNT,
)  # fmt: skip
#: One of each kind: more of them in more orders.
FEW = (WRITE, COUNT, POP_ALL, LOGOUT, LOGIN, ROTATE, RENEW_WRITE)

WRITES = {WRITE, START_AGAIN, LOGIN, SWITCH, ROTATE, IDENTIFY, RENEW_WRITE}
COUNTS = {COUNT, RENEW_COUNT}
ENDS = {LOGOUT, SLOW_LOGOUT, START_AGAIN}
ROTATES = {LOGIN, SWITCH, ROTATE, IDENTIFY, ROTATE_AND_REMOVE}
KEEPS = {READ, WRITE, WRITE_SAME, APPEND, COUNT, RENEW, RENEW_WRITE, RENEW_COUNT}
DELETES = {LOGOUT, SLOW_LOGOUT, POP_ALL}
REMOVES = {POP_ALL, REMOVE, ROTATE_AND_REMOVE, RENEW_AND_REMOVE}

ANONYMOUS = Beginning.of(lambda session: session.update(base="base", n=0, list=[]))
LOGGED_IN = Beginning.of(lambda session: (session.login("ann"), session.update(base="base", n=0, list=[])))
beginnings = pytest.mark.parametrize("beginning", [ANONYMOUS, LOGGED_IN], ids=["anonymous", "logged in"])


class End:
    """What is there when all requests are done.

    ``open``: the sessions that the cookies open which were ever sent. ``session``: the one with which it all began, if
    it is among them. ``answered``: the requests that came by one of its tokens and were answered; ``unanswered``: those
    that crashed or failed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        cookies = {world.beginning.cookie, *(request.next_cookie for request in world.requests)} - {None}
        found = {cookie: self._load(str(cookie)) for cookie in cookies}
        self.open = {cookie: one for cookie, one in found.items() if one.loaded is not None}
        self.session = next(filter(self._is_the_one, self.open.values()), None)
        came = [request for request in world.requests if self._is_the_one(request.found) or request.found.moved_to]
        self.answered = [request for request in came if request.committed is not None]
        self.unanswered = [request for request in world.requests if request.committed is None]

    def _load(self, cookie: str) -> Found:
        now = NOW + RENEW_AFTER
        return perform(LIFECYCLE.load([cookie], now, []), self.world.store, lambda: now)

    def _is_the_one(self, found: Found) -> bool:
        return found.loaded is not None and found.loaded.life.handle == self.world.beginning.handle

    def live(self) -> Iterator[bytes]:
        """Yield the store keys of all live sessions, reachable or not."""
        for key in self.world.keys:
            record = self.world.store.read(key, NOW + RENEW_AFTER)
            if isinstance(record, Record) and LIFECYCLE.records.pointer_target(key, record) is None:
                yield key

    def removed(self) -> set[str]:
        """Return the keys that some request removed, if it had its way."""
        return {key for request in self.world.requests if request.action in REMOVES for key in request.found.values}

    def changed(self, actions: set[Action]) -> list[Request]:
        """Return the requests that did one of ``actions`` to the session, and were not told that this is lost."""
        return [
            request
            for request in self.answered
            if request.action in actions and self._is_the_one(request.found) and not request.dropped
            if request.saved is None or self._is_the_one(Found(request.saved, {}))
        ]


# The laws. Each takes the end of a world, and fails if it is broken there.


def no_update_is_lost(end: End) -> None:
    """Law 1: the changes that overlapping requests make to different keys all survive."""
    if end.session is not None:
        for request in end.changed(WRITES):
            assert request.name in end.session.values or request.name in end.removed()


def what_was_dropped_is_not_there(end: End) -> None:
    """A late commit writes nothing; and what failed for certain commits nothing."""
    for request in end.world.requests:
        failed = str(request.error) == "the store is down"
        if request.dropped or failed:
            assert not any(request.name in str(found.values) for found in end.open.values())


def functions_are_exact(end: End) -> None:
    """Law 1: `session.atomic(fn)` is exact; what got no answer counts once or not at all."""
    if end.session is not None and "n" not in end.removed():
        certain = len(end.changed(COUNTS))
        perhaps = sum(request.action in COUNTS for request in end.unanswered)
        assert certain <= end.session.values["n"] <= certain + perhaps


def lists_keep_both_tails(end: End) -> None:
    """Merging: a list that both only appended to keeps both tails."""
    if end.session is not None and "list" not in end.removed():
        appended = [request.name for request in end.changed({APPEND})]
        unknown = {request.name for request in end.unanswered}
        assert sorted(set(end.session.values["list"]) - unknown) == sorted(appended)
        assert len(set(end.session.values["list"])) == len(end.session.values["list"])


def the_later_commit_wins(end: End) -> None:
    """Law 1: … to the same key: the later commit wins."""
    writers = end.changed({WRITE_SAME})
    if end.session is not None and writers and not end.removed() and not end.unanswered:
        assert end.session.values["same"] == max(writers, key=lambda request: request.finished).name


def nothing_ended_lives(end: End) -> None:
    """Law 2: a logout that was answered leaves no session that any cookie opens, whatever overlapped with it."""
    for request in end.answered:
        user = request.found.loaded and request.found.loaded.life.user
        if request.action in ENDS or (request.action is SWITCH and user == "ann"):
            assert end.session is None


def a_rotated_token_is_dead(end: End) -> None:
    """Law 2: nothing brings a session back once its token has been rotated."""
    if end.changed(ROTATES):
        assert end.world.beginning.cookie not in end.open


def nobody_is_logged_out(end: End) -> None:
    """A session that nobody ended is open to the newest cookie: rotations and renewals lose it to nobody."""
    done = {request.action for request in end.world.requests}
    in_doubt = any(request.action in ROTATES | ENDS | REMOVES for request in end.unanswered)
    if not done & (ENDS | REMOVES | {SWITCH}) and not in_doubt:
        assert end.session is not None
        assert done & ROTATES or not any(request.dropped for request in end.world.requests)


def other_sessions_begin_empty(end: End) -> None:
    """Law 2: what a later session holds was written by its own requests, and nothing of the ended one's."""
    for found in end.open.values():
        assert found is end.session or end._is_the_one(found) or "base" not in found.values


def nothing_empty_is_stored(end: End) -> None:
    """Merging: a session that holds nothing is not stored, unless somebody is logged in."""
    for found in end.open.values():
        assert found.values or (found.loaded and found.loaded.life.user)


def nothing_is_left_behind(end: End) -> None:
    """Every live record is one that a cookie opens, unless a crash or a failure left it there."""
    if end.world.fault is None:
        opened = {LIFECYCLE.records.key(found.loaded.token) for found in end.open.values() if found.loaded}
        assert set(end.live()) <= opened


def one_deletion_at_most(end: End) -> None:
    """A deletion goes out if and only if this request ended a live session and nothing is left to send."""
    enders = [request for request in end.answered if request.committed and request.committed.ended]
    if end.world.fault is None:
        assert len(enders) <= 1
        if end.session is None and {request.action for request in end.answered} <= DELETES | KEEPS:
            assert len(enders) == 1


LAWS = (
    no_update_is_lost, what_was_dropped_is_not_there, functions_are_exact, lists_keep_both_tails,
    the_later_commit_wins, nothing_ended_lives, a_rotated_token_is_dead, nobody_is_logged_out,
    other_sessions_begin_empty, nothing_empty_is_stored, nothing_is_left_behind, one_deletion_at_most,
)  # fmt: skip


def check(beginning: Beginning, tabs: Sequence[Sequence[Action]], fault: Fault | None = None) -> list[World]:
    """Check every law in every order; return the worlds as they ended."""
    worlds = list(explore(beginning, tabs, fault))
    for world in worlds:
        end = End(world)
        for law in LAWS:
            try:
                law(end)
            except AssertionError as broken:
                raise AssertionError(f"{law.__doc__}\n{fault}\n" + "\n".join(world.order)) from broken
    return worlds


def _names(actions: Sequence[Action]) -> str:
    return ", ".join(action.name for action in actions)


# Every order


@beginnings
@pytest.mark.parametrize("actions", list(combinations_with_replacement(ALL, 2)), ids=_names)
def test_two_requests_in_every_order(beginning: Beginning, actions: Sequence[Action]) -> None:
    """Laws 1 and 2, for each two of all actions, in every order of their store verbs."""
    assert check(beginning, [[action] for action in actions])


@beginnings
@pytest.mark.parametrize("actions", list(combinations_with_replacement(FEW, 3)), ids=_names)
def test_three_requests_in_every_order(beginning: Beginning, actions: Sequence[Action]) -> None:
    """Laws 1 and 2, for each three of the chief actions, in every order of their store verbs."""
    assert check(beginning, [[action] for action in actions])


@pytest.mark.parametrize("actions", list(product(FEW, repeat=3)), ids=_names)
def test_two_requests_in_a_row_and_one_beside_them(actions: Sequence[Action]) -> None:
    """Laws 1 and 2, where a second request comes by what the first one's answer set, while a third overlaps both."""
    first, second, beside = actions
    assert check(LOGGED_IN, [[first, second], [beside]])


@beginnings
@pytest.mark.parametrize(
    "actions",
    list(combinations_with_replacement((WRITE, REMOVE, ROTATE_AND_REMOVE, RENEW_AND_REMOVE), 3)),
    ids=_names,
)
def test_what_requests_empty_together(beginning: Beginning, actions: Sequence[Action]) -> None:
    """A session that holds nothing else is empty and not stored: also where several requests emptied it together."""
    assert check(beginning, [[action] for action in actions])


@beginnings
@pytest.mark.parametrize("kind", get_args(FaultKind))
@pytest.mark.parametrize("actions", list(combinations_with_replacement(FEW, 2)), ids=_names)
def test_two_requests_with_a_fault_at_each_step(
    beginning: Beginning, actions: Sequence[Action], kind: FaultKind
) -> None:
    """Laws 1 and 2, where at any one step of two requests the process dies, the store fails, or its answer is lost."""
    tabs = [[action] for action in actions]
    steps: dict[str, int] = {}
    for world in check(beginning, tabs):
        steps |= {request.name: max(request.steps, steps.get(request.name, 0)) for request in world.requests}
    for name, count in steps.items():
        for step in range(count):
            assert check(beginning, tabs, Fault(name, step, kind))


# The explorer itself


def test_the_explorer_finds_a_lost_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that can fail: where the later commit overwrites the earlier one whole, the explorer sees it."""
    monkeypatch.setattr(lifecycle, "merge", lambda base, mine, theirs: mine)
    with pytest.raises(AssertionError, match="Law 1"):
        check(ANONYMOUS, [[WRITE], [WRITE]])


def test_the_explorer_finds_a_resurrection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that can fail: where the store writes whatever stands there, the explorer sees a late write revive."""
    create = MemoryStore.create

    def upsert(self: MemoryStore, key: bytes, record: Record, *_: Any) -> bool:
        return create(self, key, record, NOW + 1e9)  # when every tombstone has fallen

    monkeypatch.setattr(MemoryStore, "replace", upsert)
    with pytest.raises(AssertionError, match="Law 2"):
        check(ANONYMOUS, [[WRITE], [LOGOUT]])


@pytest.mark.parametrize("actions", [(WRITE, ROTATE), (RENEW_WRITE, LOGOUT), (COUNT, RENEW_COUNT)], ids=_names)
def test_the_orders_left_out_make_no_difference(actions: Sequence[Action], monkeypatch: pytest.MonkeyPatch) -> None:
    """The explorer leaves out orders, and no outcome: all orders together end in the same ways as those it runs."""

    def outcomes() -> tuple[int, set[str]]:
        ends = [End(world) for world in check(ANONYMOUS, [[action] for action in actions])]
        return len(ends), {str(sorted(str(found.values) for found in end.open.values())) for end in ends}

    some, reduced = outcomes()
    monkeypatch.setattr(explorer, "_commute", lambda one, other: False)
    every, complete = outcomes()
    assert every > some
    assert reduced == complete


# Without an end


@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["a fast store", "a slow store"])
def test_a_conflict_without_end_is_an_error(seconds: float) -> None:
    """After a conflict the lifecycle merges and tries again, with jitter, for at most 2 s; after that it is an error,
    never a silent loss (DESIGN §5). ``seconds``: what each verb takes."""
    store, clock = MemoryStore(), [NOW]
    store.create(ANONYMOUS.key, ANONYMOUS.record, NOW)
    session = Session()
    session._loaded = perform(LIFECYCLE.load([ANONYMOUS.cookie], NOW, []), store, lambda: NOW).loaded
    session["mine"] = 1
    commit = LIFECYCLE.commit(session, explorer.TERMS, NOW, [])
    pauses: list[float] = []

    def run() -> None:
        answer: Any = None
        for version in range(1, 10_000):
            wanted = commit.send(answer)
            if isinstance(wanted, Pause):
                pauses.append(wanted.seconds)
                clock[0] += wanted.seconds
                answer = clock[0]
            else:  # another request is always faster
                clock[0] += seconds
                record = store.read(ANONYMOUS.key, NOW)
                assert isinstance(record, Record)
                record = dataclasses.replace(record, version=version)
                answer = record if wanted.verb == "read" else Conflict(record)

    with pytest.raises(CommitConflict, match="other requests kept changing it for 2 seconds"):
        run()
    assert 1.9 <= clock[0] - NOW <= 2.0 + 0.05 + 2 * seconds  # a try is a read and a replace
    assert len(set(pauses)) > len(pauses) / 2
    assert store.read(ANONYMOUS.key, NOW) == ANONYMOUS.record
