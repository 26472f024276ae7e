"""An explorer: requests on one session, each store verb one step, in every order that can make a difference.

The lifecycle asks for its store verbs one by one, so neither threads nor luck are needed. Two steps that touch
different records, or only read, come to the same in either order; of such orders one is run and all others are not
(sleep sets: P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, ch. 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from coatcheck.crypto.keyring import Keyring
from coatcheck.crypto.sealing import Sealer
from coatcheck.errors import AnswerLost, StoreError
from coatcheck.lifecycle import Committed, Lifecycle
from coatcheck.loading import Event, Found
from coatcheck.policy import Policy, Terms
from coatcheck.records import Records
from coatcheck.session import Loaded, Session
from coatcheck.steps import Call, Pause, Steps, perform
from coatcheck.stores import MemoryStore, Record

NOW = 1_700_000_000.0
RENEW_AFTER = 30.0

TERMS = Terms(lifetime=3600.0)
_POLICY = Policy(renew_after=RENEW_AFTER)
_SEALER = Sealer(Keyring(("a secret key that is long enough for a test",)), "default")
LIFECYCLE = Lifecycle(Records(_SEALER, "default", _POLICY), _POLICY)


FaultKind = Literal["crash", "down", "lost after", "lost before", "lost on its way"]


class Action(NamedTuple):
    """What the view of a request does to its session, given the request's name.

    :param late: it comes when the token is due for renewal. (The others do not renew, and still overlap with it.)
    :param seconds: how long the view takes.
    """

    name: str
    view: Callable[[Session, str], object]
    late: bool = False
    seconds: float = 0.0

    def __repr__(self) -> str:
        return self.name


class Fault(NamedTuple):
    """What goes wrong at a request's step of this number.

    ``crash``: right after it, the process is gone. ``lost …``: the answer is lost; the verb was carried out, never
    will be, or is on its way and will be at any later time.
    """

    request: str
    step: int
    kind: FaultKind


@dataclass
class Request:
    """One request: it loads by ``cookie``, its view acts, it commits.

    ``wanted`` is the verb it waits for; at the end, one of ``committed`` and ``error`` is set, unless it crashed.
    ``finished`` is the number of the last step in the world.
    """

    name: str
    action: Action
    cookie: str | None
    events: list[Event] = field(default_factory=list)
    found: Found = field(default_factory=lambda: Found(None, {}))
    wanted: Call | None = None
    steps: int = 0
    committed: Committed | None = None
    error: StoreError | None = None
    finished: int = -1

    def __post_init__(self) -> None:
        self.now = NOW + (RENEW_AFTER if self.action.late else 0)
        self._running = self._run()
        self._go_on(self._running.__next__)

    def _run(self) -> Steps[Committed]:
        self.found = yield from LIFECYCLE.load([self.cookie] if self.cookie else [], self.now, self.events)
        session = Session(self.found.values)
        session._loaded, session._moved_to = self.found.loaded, self.found.moved_to
        self.action.view(session, self.name)
        self.now += self.action.seconds
        return (yield from LIFECYCLE.commit(session, TERMS, self.now, self.events))

    def step(self, store: MemoryStore, fault: Fault | None) -> Call | None:
        """Let the store perform the verb that this request waits for, and run to its next one.

        Return the verb if it is on its way.
        """
        call = self.wanted
        assert call is not None
        kind = fault.kind if fault is not None and fault[:2] == (self.name, self.steps) else None
        self.steps += 1
        self.wanted = None
        answer = perform_call(store, call) if kind in (None, "crash", "lost after") else None
        if kind is None:
            self._go_on(lambda: self._running.send(answer))
        elif kind != "crash":
            error = StoreError("the store is down") if kind == "down" else AnswerLost("no answer")
            self._go_on(lambda: self._running.throw(error))
        return call if kind == "lost on its way" else None

    def _go_on(self, advance: Callable[[], Call | Pause]) -> None:
        try:
            wanted = advance()
            while isinstance(wanted, Pause):
                wanted = self._running.send(self.now)
            self.wanted = wanted
        except StopIteration as stop:
            self.committed = stop.value
        except StoreError as error:
            self.error = error

    @property
    def saved(self) -> Loaded | None:
        """The session as its answer left it, if it has one."""
        return None if self.committed is None else self.committed.loaded

    @property
    def next_cookie(self) -> str | None:
        """What the visitor's browser holds after the answer."""
        if self.committed is not None and self.committed.ended:
            return None
        if self.committed is not None and self.committed.new_token and self.saved is not None:
            return self.saved.token.cookie_value()
        return self.cookie

    @property
    def dropped(self) -> bool:
        """Whether it was told that the session had ended before its changes could be saved."""
        return any(event.name == "commit_after_end" for event in self.events)


class Beginning(NamedTuple):
    """A session as it is stored before the requests come."""

    cookie: str
    handle: bytes
    key: bytes
    record: Record

    @classmethod
    def of(cls, view: Callable[[Session], object]) -> Beginning:
        """Return the session that a first request with this view makes."""
        session = Session()
        view(session)
        loaded = perform(LIFECYCLE.commit(session, TERMS, NOW, []), MemoryStore(), lambda: NOW).loaded
        assert loaded is not None
        key = LIFECYCLE.records.key(loaded.token)
        return cls(loaded.token.cookie_value(), loaded.life.handle, key, loaded.record)


def perform_call(store: MemoryStore, call: Call) -> Any:
    return getattr(store, call.verb)(*call.arguments)


class World:
    """A stored session, and tabs of one browser: in each, one request follows the other, by what the last one set."""

    def __init__(self, beginning: Beginning, tabs: Sequence[Sequence[Action]], fault: Fault | None = None) -> None:
        self.beginning = beginning
        self.fault = fault
        self.store = MemoryStore()
        self.store.create(beginning.key, beginning.record, NOW)
        self.keys = [beginning.key]
        self.order: list[str] = []
        self.requests: list[Request] = []
        self._to_come = [list(tab) for tab in tabs]
        self._now: list[Request | None] = [None] * len(tabs)
        self._on_its_way: Call | None = None
        for tab in range(len(tabs)):
            self._begin_next(tab, beginning.cookie)

    def _begin_next(self, tab: int, cookie: str | None) -> None:
        self._now[tab] = None
        while self._to_come[tab] and self._now[tab] is None:
            action = self._to_come[tab].pop(0)
            request = Request(f"{action.name} {len(self.requests)}", action, cookie)
            self.requests.append(request)
            if request.wanted is not None:
                self._now[tab] = request
            cookie = request.next_cookie

    def waiting(self) -> dict[int, Call]:
        """Return the verbs that can be next, by tab. One that is on its way counts as a tab of its own, the last."""
        calls = {tab: request.wanted for tab, request in enumerate(self._now) if request and request.wanted}
        return calls if self._on_its_way is None else {**calls, len(self._now): self._on_its_way}

    def step(self, tab: int) -> None:
        """Let the store perform the verb that is next in ``tab``."""
        call = self.waiting()[tab]
        if call.verb == "create":
            self.keys.append(call.arguments[0])
        request = self._now[tab] if tab < len(self._now) else None
        self.order.append(f"{request.name if request else 'late'}: {call.verb}")
        if request is None:
            self._on_its_way = None
            perform_call(self.store, call)
            return
        request.finished = len(self.order)
        self._on_its_way = request.step(self.store, self.fault) or self._on_its_way
        if request.wanted is None:
            self._begin_next(tab, request.next_cookie)


def _commute(one: Call, other: Call) -> bool:
    """Say whether two steps come to the same in either order."""
    return one.arguments[0] != other.arguments[0] or one.verb == other.verb == "read"


def explore(
    beginning: Beginning, tabs: Sequence[Sequence[Action]], fault: Fault | None = None
) -> Iterator[World]:
    """Yield the world as it is after each order of steps that can make a difference."""
    todo: list[tuple[list[int], frozenset[int]]] = [([], frozenset())]
    while todo:
        order, asleep = todo.pop()
        world = World(beginning, tabs, fault)
        for tab in order:
            world.step(tab)
        while awake := [tab for tab in world.waiting() if tab not in asleep]:
            calls = world.waiting()
            for place, tab in enumerate(awake[1:], 1):
                tried = asleep.union(awake[:place])
                still = frozenset(other for other in tried if _commute(calls[other], calls[tab]))
                todo.append(([*order, tab], still))
            asleep = frozenset(other for other in asleep if _commute(calls[other], calls[awake[0]]))
            world.step(awake[0])
            order = [*order, awake[0]]
        if not world.waiting():  # else: what would follow has been seen in another order
            yield world
