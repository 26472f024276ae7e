"""From the cookies of a request to its live session, over pointers and tombstones.

The cookie is hostile (law 7): the worst that comes of it is that there is no session. No token in it is ever adopted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .codec import DecodeError, decode
from .crypto.sealing import Unsealable
from .records import Opened, Records
from .session import Loaded
from .steps import Steps, read
from .stores.contract import Ended, Record
from .tokens import SessionToken, parse_cookie_value

#: How many pointers a request follows from an old token (DESIGN §6, Renewal).
MAX_HOPS = 8

#: How many different cookies of our name are looked up (DESIGN §6, Cookies of the session).
MAX_CANDIDATES = 3


class Event(NamedTuple):
    """Something an operator wants to know. Never holds a token or a value of the session."""

    name: Literal["duplicate_cookie", "unknown_key", "unreadable", "commit_after_end", "user_changed"]
    message: str
    handle: str | None = None


class Found(NamedTuple):
    """What the cookies of a request led to.

    :param loaded: the live session, if there is one.
    :param moved_to: else the store key under which it goes on, if its token has been rotated. To be ended, no more.
    """

    loaded: Loaded | None
    values: dict[str, Any]
    moved_to: bytes | None = None


class Moved(NamedTuple):
    """What a tombstone's note says, or a pointer past its end: under which store key the session goes on."""

    key: bytes


def load(records: Records, cookies: Sequence[str], now: float, events: list[Event]) -> Steps[Found]:
    """Find the live session to which the values of our cookie lead. An unknown one is never adopted (law 7)."""
    candidates: dict[bytes, SessionToken] = {}
    for value in cookies:
        parsed = parse_cookie_value(value)
        if parsed is not None and len(candidates) < MAX_CANDIDATES:
            candidates.setdefault(parsed.token.secret, parsed.token)
    live: dict[bytes, Loaded] = {}
    moved_to = None
    for token in candidates.values():
        answer = yield from read(records.key(token), now)
        end = yield from follow(records, token, answer, now, events)
        if isinstance(end, Loaded):
            live[end.token.secret] = end
        elif isinstance(end, Moved):
            moved_to = end.key
    if len(candidates) > 1:
        events.append(_duplicate_cookie(len(candidates), len(live)))
    if len(live) != 1:
        return Found(None, {}, moved_to if not live else None)
    (loaded,) = live.values()
    return _decoded(loaded, events)


def follow(
    records: Records, token: SessionToken, record: Record | Ended | None, now: float, events: list[Event]
) -> Steps[Loaded | Moved | None]:
    """Open what the store answered for ``token``, going on from pointer to pointer."""
    for hop in range(MAX_HOPS + 1):
        if isinstance(record, Ended):
            onward = records.open_note(records.key(token), record.note)
            return None if onward is None else Moved(onward)
        if record is None:
            return None
        try:
            inside = records.open(token, record)
        except Unsealable as error:
            events.append(_unsealable(error))
            return None
        if isinstance(inside, Opened):
            # The store's word is not enough: whoever writes to it could keep a session for ever (laws 8, 10).
            if not now < inside.life.ends_at:
                return None
            if not 0 <= record.last_seen <= now:
                record = dataclasses.replace(record, last_seen=now)
            return Loaded(token, record, inside.life, inside.values, hop > 0)
        if inside.until <= now:
            return Moved(records.key(inside.token))
        token = inside.token
        record = yield from read(records.key(token), now)
    return None


def _decoded(loaded: Loaded, events: list[Event]) -> Found:
    try:
        return Found(loaded, decode(loaded.values))
    except DecodeError:  # whose text may show a value
        message = "a session holds a value of a type or time zone that is not known here, and is ignored"
        events.append(Event("unreadable", message, loaded.life.handle.hex()))
        return Found(None, {})


def _duplicate_cookie(sent: int, live: int) -> Event:
    end = {0: "none of them is live", 1: "the one that is live counts"}.get(live, "none counts, since several are live")
    return Event(
        "duplicate_cookie",
        f"a browser sent {sent} different session cookies of one name; {end}. The likely cause is a changed Domain or "
        "Path of the session cookie: the old one stays in browsers until it expires",
    )


def _unsealable(error: Unsealable) -> Event:
    if error.unknown_key_id is None:
        return Event("unreadable", "a stored session is not as this application sealed it, and is ignored")
    return Event(
        "unknown_key",
        f"a session is sealed under the secret key {error.unknown_key_id.hex()}, which is not in use here: deploy "
        "the new key as a fallback first, then promote it",
    )
