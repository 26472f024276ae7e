"""A look behind the counter: the visitor's record as the store keeps it, and what decides when it ends.

This file reaches into coatcheck's inside, which no application needs to do; the rest of the demo uses public names.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from coatcheck.policy import Terms
from coatcheck.records import Life, Opened
from coatcheck.session import Session
from coatcheck.sessions import Sessions
from coatcheck.stores import Record
from coatcheck.tokens import parse_cookie_value


@dataclass(frozen=True, slots=True)
class Kept:
    """What lies behind the counter. Times are in seconds since 1970, lengths of time in seconds.

    :param key: under which the store keeps it.
    :param record: as the store returns it.
    :param idle: the idle timeout.
    :param expires_at: when it ends if nobody comes back. This very visit counts, and is noted when the page is out.
    :param absolute: the absolute timeout.
    :param ends_at: its absolute end, however often somebody comes back.
    """

    key: bytes
    record: Record
    idle: float
    expires_at: float
    absolute: float
    ends_at: float


def look_behind(app: Flask, session: Session, cookies: list[str]) -> Kept | None:
    """Return what is kept for ``session``, found by the values of the session cookies that the browser sent."""
    manager: Sessions = app.extensions["coatcheck"]
    records = manager.lifecycle((app.secret_key or "",)).records
    for token in (parsed[0] for parsed in map(parse_cookie_value, cookies) if parsed):
        key = records.key(token)
        record = manager.store.read(key, manager.clock())
        if not session.new and isinstance(record, Record):
            inside = records.open(token, record)
            if isinstance(inside, Opened) and inside.life.handle.hex() == session.handle:
                return _kept(app, session, key, record, inside.life)
    return None


def _kept(app: Flask, session: Session, key: bytes, record: Record, life: Life) -> Kept:
    manager: Sessions = app.extensions["coatcheck"]
    now = manager.clock()
    terms = Terms(app.permanent_session_lifetime.total_seconds())
    idle = terms.expires_after(session.permanent, life.lifetime)
    lags = now - record.last_seen >= (terms.touch_interval(session.permanent, life.lifetime) or 0)
    return Kept(
        key=key,
        record=record,
        idle=idle,
        expires_at=min((now if lags else record.last_seen) + idle, life.ends_at),
        absolute=life.ends_at - (life.login_at or life.created_at),
        ends_at=life.ends_at,
    )
