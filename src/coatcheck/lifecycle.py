"""The rules of one request: load, then decide and commit. Written once, without I/O, framework or clock.

A commit does exactly one of these things:

=========  ============================================================ ==========================================
what       when                                                          store verbs
=========  ============================================================ ==========================================
start      nothing was loaded, or it was ended, and there is something  create; and to end the old one: delete
end        the session was ended and nothing was written since          delete
rotate     login, ``rotate()``, another identity in the session         create, delete
renew      its token is older than the policy allows                    create, replace
write      its values changed; nothing is left of them                  replace; delete
touch      it was used, and its idle clock lags noticeably              touch
nothing    else                                                         none
=========  ============================================================ ==========================================

Other requests may change, renew, rotate or end the session at any point in between; each verb says so by its answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .codec import decode
from .errors import CommitConflict, StoreError
from .loading import MAX_HOPS, Event, Found, follow, load
from .merge import merge
from .policy import Policy, Terms
from .records import Life, Records
from .session import PERMANENT, AtomicStep, Loaded, Session, encode_values
from .steps import Pause, Steps, create, delete, read, replace, touch
from .stores.contract import Conflict, Ended, Outcome, Record
from .tokens import SessionToken

#: For how long a commit keeps trying against others, in seconds, and the longest pause between two tries.
MAX_WAIT = 2.0
_LONGEST_PAUSE = 0.05

_CONTAINERS = (dict, list, tuple, set, frozenset)

_NO_VALUES = encode_values({})


class Committed(NamedTuple):
    """What a commit came to.

    :param loaded: the session as it is stored now; ``None`` if there is none, or not for this visitor any more.
    :param new_token: whether the visitor's browser does not hold its token yet.
    :param ended: whether this request ended a live session, and nothing is left to send.
    """

    loaded: Loaded | None = None
    new_token: bool = False
    ended: bool = False


class Lifecycle:
    """The rules under one keyring and policy. ``events`` collects what an operator should hear of."""

    def __init__(self, records: Records, policy: Policy) -> None:
        self.records = records
        self.policy = policy
        self.renew_seconds = policy.renew_seconds()

    def load(self, cookies: Sequence[str], now: float, events: list[Event]) -> Steps[Found]:
        """Find the live session to which the values of our cookie lead."""
        return load(self.records, cookies, now, events)

    def refresh(self, cookies: Sequence[str], terms: Terms, now: float, events: list[Event]) -> Steps[Committed]:
        """Prolong a permanent session for a request that did not use it (DESIGN §6, Timeouts)."""
        found = yield from self.load(cookies, now, events)
        if found.loaded is None or not found.values.get(PERMANENT):
            return Committed()
        return (yield from self.touch(found.loaded, found.values, terms, now))

    def touch(self, loaded: Loaded, values: Mapping[str, Any], terms: Terms, now: float) -> Steps[Committed]:
        """Move the idle clock of a session that was used, if it lags noticeably (law 5)."""
        permanent, lifetime = bool(values.get(PERMANENT)), loaded.life.lifetime
        interval = terms.touch_interval(permanent, lifetime)
        if interval is not None and now - loaded.record.last_seen >= interval:
            expires_at = min(now + terms.expires_after(permanent, lifetime), loaded.life.ends_at)
            if not (yield from touch(self.records.key(loaded.token), expires_at, now, now)):
                return Committed()
            record = dataclasses.replace(loaded.record, expires_at=expires_at, last_seen=now)
            loaded = loaded._replace(record=record)
        return Committed(loaded, new_token=loaded.by_pointer)

    def commit(self, session: Session, terms: Terms, now: float, events: list[Event]) -> Steps[Committed]:
        """Carry out what the view wanted of its session, and save what it changed.

        :raises TypeError: for a value that cannot be stored.
        :raises StoreError: if the store fails, or others were faster for two seconds.
        """
        commit = _Commit(self, session, terms, now, events)
        try:
            committed = yield from commit.run()
        except Exception:
            yield from commit.take_back()
            raise
        session._settle(committed.loaded)
        return committed


class _Commit:
    """One commit. ``now`` moves on with each pause."""

    def __init__(
        self, lifecycle: Lifecycle, session: Session, terms: Terms, now: float, events: list[Event]
    ) -> None:
        self.lifecycle = lifecycle
        self.records = lifecycle.records
        self.policy = lifecycle.policy
        self.session = session
        self.terms = terms
        self.now = now
        self.events = events
        self.made: Loaded | None = None  # a record whose token only this request knows
        self.kept_end: float | None = None  # where a new token must not prolong the session
        self.began = now
        self.pauses = 0
        self.waited = 0.0

    def run(self) -> Steps[Committed]:
        session, loaded = self.session, self.session._loaded
        if loaded is None or session._ended:
            return (yield from self.start(loaded))
        values = encode_values(session)
        changed = values != loaded.values
        if session.permanent and not (self.terms.refresh or changed or session._login or session._reauthenticated):
            self.kept_end = loaded.record.expires_at  # it ends one lifetime after its last change
        if session._login or session._rotate or (changed and self.identity_changed(loaded)):
            return (yield from self.rotate(loaded))
        if self.renewal_due(loaded) and not _is_nothing(session, loaded.life):
            return (yield from self.renew(loaded, values))
        if changed:
            return (yield from self.write(loaded, dict(session), values))
        return (yield from self.lifecycle.touch(loaded, session, self.terms, self.now))

    # What to do

    def start(self, loaded: Loaded | None) -> Steps[Committed]:
        """Store a session that is new, and end the one that was loaded, if the view ended it."""
        session, committed = self.session, Committed()
        if session._login is not None or not _is_nothing(session):
            if session.permanent:
                session.setdefault(PERMANENT, True)
            life = self.with_login(Life.begin(self.policy, self.terms, self.now))
            committed = Committed((yield from self.create(life, session)), new_token=True)
        if session._ended:
            # After the create: if that fails, nothing has happened yet.
            was_alive = yield from self.end(loaded)
            committed = committed._replace(ended=was_alive and committed.loaded is None)
        return committed

    def end(self, loaded: Loaded | None) -> Steps[bool]:
        """End the session wherever it went, and say whether it was this request that ended it.

        Each delete names the version it saw. An unconditional one could hit the pointer that a renewal has just left
        there, and miss the session itself.
        """
        answer: Outcome | Record
        if loaded is not None:
            key = self.records.key(loaded.token)
            answer = yield from delete(key, self.now, loaded.record.version)
        elif self.session._moved_to is not None:
            key = self.session._moved_to
            answer = yield from read(key, self.now)
        else:
            return False
        hops = 0 if loaded is not None else 1
        while answer is not True:
            if isinstance(answer, Ended):
                onward = self.records.open_note(key, answer.note)
            elif answer is None:
                return False
            else:
                current = answer.current if isinstance(answer, Conflict) else answer
                onward = self.records.pointer_target(key, current)
                if onward is None:
                    # At once, with the version just seen, however often: it wins over every write.
                    answer = yield from delete(key, self.now, current.version)
                    continue
            hops += 1
            if onward is None or hops > MAX_HOPS:
                return False
            key = onward
            answer = yield from read(key, self.now)
        return True

    def rotate(self, loaded: Loaded) -> Steps[Committed]:
        """Move the session to a new token, and end the old one (law 9)."""
        login = self.session._login
        life = self.with_login(loaded.life.with_new_token(self.now))
        old, values, rotated = loaded, dict(self.session), None
        while True:
            key, note = self.records.key(old.token), None
            nothing_left = _is_nothing(values, life)
            if not nothing_left:
                rotated = yield from (self.create(life, values) if rotated is None else self.put(rotated, life, values))
                note = self.records.seal_note(key, self.records.key(rotated.token))
            outcome = yield from delete(key, self.now, old.record.version, note)
            if outcome is True and nothing_left:
                yield from self.discard(rotated)
                return Committed(ended=True)
            if outcome is True:
                return Committed(rotated, new_token=True)
            winner = yield from self.winner(old, outcome)
            if isinstance(winner, Loaded):
                values = self.merged_onto(winner.values)
                old = winner
            elif login is None or rotated is None:
                yield from self.discard(rotated)
                self.events.append(winner)
                return Committed()
            else:
                # A login needs no old session: think of a login button clicked twice.
                fresh = self.with_login(Life.begin(self.policy, self.terms, self.now))
                values = self.merged_onto(_NO_VALUES)
                if login.lifetime is not None:
                    values[PERMANENT] = True
                rotated = yield from self.put(rotated, fresh, values)
                return Committed(rotated, new_token=True)

    def renew(self, loaded: Loaded, values: bytes) -> Steps[Committed]:
        """Move the session to a new token, and leave a pointer to it at the old one."""
        renewed = yield from self.create(loaded.life.with_new_token(self.now), self.session)
        old = loaded
        while True:
            pointer = self.records.seal_pointer(old.token, renewed.token, self.now)
            outcome = yield from replace(self.records.key(old.token), pointer, old.record.version, self.now)
            if outcome is True:
                return Committed(renewed, new_token=True)
            winner = yield from self.winner(old, outcome)
            if not isinstance(winner, Loaded):
                yield from self.discard(renewed)
                if values != loaded.values:
                    self.events.append(winner)
                return Committed()
            merged = self.merged_onto(winner.values)
            if winner.by_pointer or _is_nothing(merged, renewed.life):
                yield from self.discard(renewed)
                return (yield from self.write(winner, merged, encode_values(merged)))
            renewed = yield from self.put(renewed, renewed.life, merged)
            old = winner

    def write(self, spot: Loaded, values: dict[str, Any], encoded: bytes) -> Steps[Committed]:
        """Save ``values`` over the record at ``spot``, merging with whatever gets in between."""
        while encoded != spot.values:
            key = self.records.key(spot.token)
            if _is_nothing(values, spot.life):
                outcome = yield from delete(key, self.now, spot.record.version)
                if outcome is True:
                    return Committed(ended=True)
            else:
                record = self.seal(spot.token, spot.life, values, encoded)
                outcome = yield from replace(key, record, spot.record.version, self.now)
                if outcome is True:
                    spot = spot._replace(record=record, values=encoded)
                    break
            winner = yield from self.winner(spot, outcome)
            if not isinstance(winner, Loaded):
                self.events.append(winner)
                return Committed()
            by_pointer = spot.by_pointer or winner.by_pointer
            spot = winner._replace(by_pointer=by_pointer)
            values = self.merged_onto(spot.values)
            encoded = encode_values(values)
        return Committed(spot, new_token=spot.by_pointer)

    # What it takes

    def create(self, life: Life, values: Mapping[str, Any]) -> Steps[Loaded]:
        """Store a record under a new token."""
        token, encoded = SessionToken.new(), encode_values(values)
        record = self.seal(token, life, values, encoded)
        if not (yield from create(self.records.key(token), record, self.now)):
            raise StoreError("the store says that a session exists under a token that was made this moment")
        self.made = Loaded(token, record, life, encoded, by_pointer=False)
        return self.made

    def put(self, spot: Loaded, life: Life, values: dict[str, Any]) -> Steps[Loaded]:
        """Overwrite a record whose token only this request knows."""
        encoded = encode_values(values)
        record = self.seal(spot.token, life, values, encoded)
        outcome = yield from replace(self.records.key(spot.token), record, spot.record.version, self.now)
        if outcome is not True:
            raise StoreError("a session that this request had just made was ended before it could be answered")
        self.made = spot._replace(record=record, life=life, values=encoded)
        return self.made

    def discard(self, spot: Loaded | None) -> Steps[None]:
        """Take back a record whose token only this request knows, if there is one."""
        if spot is not None:
            yield from delete(self.records.key(spot.token), self.now, spot.record.version)

    def take_back(self) -> Steps[None]:
        """After a failure: what fails commits nothing. If the store fails too, nobody will ever have the token."""
        with contextlib.suppress(StoreError):
            yield from self.discard(self.made)

    def seal(self, token: SessionToken, life: Life, values: Mapping[str, Any], encoded: bytes) -> Record:
        expires_at = self.kept_end
        if expires_at is None:
            expires_at = self.now + self.terms.expires_after(bool(values.get(PERMANENT)), life.lifetime)
        return self.records.seal(token, life, encoded, expires_at, self.now)

    def with_login(self, life: Life) -> Life:
        """Return ``life`` after the login or re-authentication of this request, if there was one."""
        login = self.session._login
        if login is not None:
            return life.with_login(login.user, login.lifetime, self.policy, self.terms, self.now)
        if self.session._reauthenticated and life.user is not None:
            return life.with_login(life.user, life.lifetime, self.policy, self.terms, self.now)
        return life

    def winner(self, spot: Loaded, outcome: Outcome) -> Steps[Loaded | Event]:
        """Return the live session that stands where ``spot`` was, or the event that says why there is none for us."""
        handle = spot.life.handle.hex()
        if isinstance(outcome, Conflict):
            record: Record | Ended | None = outcome.current
            if (yield from self.pause()):
                record = yield from read(self.records.key(spot.token), self.now)
            live = yield from follow(self.records, spot.token, record, self.now, self.events)
            if isinstance(live, Loaded) and live.life.user != spot.life.user:
                message = "a request's changes were dropped: its session belongs to another user by now"
                return Event("user_changed", message, handle)
            if isinstance(live, Loaded):
                if self.kept_end is not None:
                    self.kept_end = live.record.expires_at
                return live
        message = "a request's changes were dropped: its session ended before they could be saved"
        return Event("commit_after_end", message, handle)

    def merged_onto(self, encoded: bytes) -> dict[str, Any]:
        """Make this request's changes to other values: plain ones merged, noted functions called, in their order."""
        loaded = self.session._loaded
        base: dict[str, Any] = decode(loaded.values if loaded is not None else _NO_VALUES)
        theirs: dict[str, Any] = decode(encoded)
        for step in self.session._steps:
            theirs = self.replayed(step, merge(base, decode(step.before), theirs))
            base = decode(step.after)
        return merge(base, dict(self.session), theirs)

    def replayed(self, step: AtomicStep, values: dict[str, Any]) -> dict[str, Any]:
        session = Session(values)
        session._loaded, session._login = self.session._loaded, self.session._login
        step.function(session)
        return dict(session)

    def identity_changed(self, loaded: Loaded) -> bool:
        """Say whether somebody else is logged in than before, by the keys with which applications say so."""
        before = decode(loaded.values)
        for key in self.policy.identity_keys:
            was, now = before.get(key), self.session.get(key)
            scalars = not isinstance(was, _CONTAINERS) and not isinstance(now, _CONTAINERS)
            if now and (not was or (scalars and was != now)):
                return True
        return False

    def renewal_due(self, loaded: Loaded) -> bool:
        after, life = self.lifecycle.renew_seconds, loaded.life
        since = life.created_at if life.token_at is None else life.token_at
        return after is not None and not loaded.by_pointer and self.now - since >= after

    def pause(self) -> Steps[bool]:
        """Let the others finish: not at all the first time, then for a random while that grows. Say whether it waited.

        :raises CommitConflict: when :data:`MAX_WAIT` is used up.
        """
        self.pauses += 1
        if self.pauses == 1:
            return False
        longest = min(_LONGEST_PAUSE, 0.001 * 2**self.pauses)
        seconds = secrets.randbelow(int(longest * 1e6)) / 1e6
        self.now = yield Pause(seconds)
        self.waited += seconds  # the clock may be a test's, and stand still
        if max(self.waited, self.now - self.began) >= MAX_WAIT:
            raise CommitConflict(
                f"the session could not be saved: other requests kept changing it for {MAX_WAIT:g} seconds"
            )
        return True


def _is_nothing(values: Mapping[str, Any], life: Life | None = None) -> bool:
    """Say whether there is nothing to store: no value but whether it is permanent, and nobody logged in."""
    return len(values) == (PERMANENT in values) and (life is None or life.user is None)
