"""Laws 7 to 10 of DESIGN §3: who gets in, and for how long."""

from __future__ import annotations

import dataclasses
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from coatcheck.crypto.keyring import Keyring
from coatcheck.crypto.sealing import Purpose, Sealer, Unsealable
from coatcheck.session import Session
from coatcheck.stores import Record
from coatcheck.testing import Clock
from coatcheck.tokens import SessionToken, parse_cookie_value
from tests.fine_print.website import SECRET, Answer, KeyedStore, View, Website, keep, who

HOUR = 3600.0
DAY = 24 * HOUR


def login(session: Session) -> None:
    session.login("ann")


def record_of(site: Website, visitor: Answer) -> Record:
    record = site.store.store.read(site.key(visitor.cookie), site.clock())
    assert isinstance(record, Record)
    return record


def overwrite(site: Website, visitor: Answer, record: Record) -> None:
    """Do what whoever can write to the store can do."""
    current = record_of(site, visitor)
    assert site.store.store.replace(site.key(visitor.cookie), record, current.version, site.clock()) is True


# 7. The cookie is hostile


HOSTILE: dict[str, str] = {
    "empty": "",
    "malformed": "../../etc/passwd",
    "a number": "1",
    "not ASCII": "é" * 43,
    "quoted": '"' + "A" * 43 + '"',
    "control characters": "\x01" * 43,
    "percent-encoded": "%41" * 43,
    "oversized": "A" * 60_000,
    "ten thousand cookies": "; session=".join(["A" * 43] * 1200),
    "unknown": "A" * 43,
    "unknown, permanent": "A" * 43 + ".1700000000",
    "unknown, from the year 5138": "A" * 43 + ".99999999999",
    "Flask's own": "eyJ1c2VyX2lkIjoxfQ.aAAAAA.x7Lk0sXmvGG6cB5vj4oN7H8w1Xk",
    "a pickle": "gASVCgAAAAAAAAB9lIwBYZRLAXMu",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_law_07_the_cookie_is_hostile(site: Website, name: str) -> None:
    """Malformed, oversized or unknown: a fresh empty session, never an exception and never an adopted token."""
    cookie = HOSTILE[name]
    read = site.visit(dict, cookie)
    assert (read.status, read.value, read.set_cookies) == (200, {}, [])
    assert len(site.store.calls) <= 3  # bounded, whatever is sent
    written = site.visit(keep(a=1), cookie)
    assert written.cookie not in cookie.split("; session=")
    assert site.look(written.cookie) == {"a": 1}
    assert site.look(cookie) == {}


def test_law_07_the_cookie_is_hostile_tampered(site: Website, visitor: Answer) -> None:
    """Tampered, cut short or made longer: each change of a character of a live token is an unknown token."""
    token = str(visitor.cookie)
    changed = [token[:place] + ("B" if token[place] != "B" else "C") + token[place + 1 :] for place in range(43)]
    for value in (*changed, token[:-1], token + "A", token.swapcase(), token[::-1]):
        assert site.look(value) == {}
    assert site.look(token) == {"cart": ["apple"]}


def test_law_07_the_cookie_is_hostile_expired(site: Website, clock: Clock, visitor: Answer) -> None:
    """Expired: the answer is a fresh empty session, and its token is not used again."""
    clock.advance(DAY)
    assert site.look(visitor.cookie) == {}
    assert site.visit(keep(a=1), visitor.cookie).cookie != visitor.cookie


def test_law_07_the_cookie_is_hostile_from_another_app(store: KeyedStore, clock: Clock, visitor: Answer) -> None:
    """Taken from another app, that has the same store and the same secret: a fresh empty session."""
    other = Website(store, clock, SESSION_APPLICATION="another")
    assert other.look(visitor.cookie) == {}


# 8. A stolen store is worthless


@pytest.fixture
def ann(site: Website) -> Answer:
    """Somebody who is logged in, with something to hide."""
    return site.visit(lambda session: (session.login("ann"), session.update(note="nobody may read this")))


def test_law_08_a_stolen_store_is_worthless(site: Website, ann: Answer, dump: Callable[[], bytes]) -> None:
    """A dump yields no usable token and no readable session data, before and after a rotation and a logout."""
    tokens = [ann.cookie]
    for view in (keep(a=1), lambda session: session.rotate(), lambda session: session.logout()):
        stolen = dump()
        for cookie in filter(None, tokens):
            parsed = parse_cookie_value(cookie)
            assert parsed is not None
            for secret in (parsed.token.secret, cookie.encode(), parsed.token.secret.hex().encode()):
                assert secret not in stolen
        for value in (b"nobody may read this", b"note", b"ann"):
            assert value not in stolen
        tokens.append(site.visit(view, tokens[-1]).cookie)


def test_law_08_a_stolen_store_is_worthless_with_the_secret_key(site: Website, ann: Answer) -> None:
    """With the secret key as well, it shows who is logged in, and still opens no data and logs in nowhere."""
    key, record = site.key(ann.cookie), record_of(site, ann)
    sealer = Sealer(Keyring([SECRET]), "default")
    assert b"ann" in sealer.open(Purpose.META, record.meta, key)
    for purpose in Purpose:
        for guess in (bytes(32), key):
            with pytest.raises(Unsealable):
                sealer.open(purpose, record.data, key, guess)
    for found in (key, record.data[:32], record.meta[-32:]):
        assert site.visit(who, SessionToken(found).cookie_value()).value is None


def test_law_08_a_stolen_store_is_worthless_to_a_forger(site: Website, ann: Answer) -> None:
    """Whoever can write to the store cannot forge a session: what they change opens no more."""
    genuine = record_of(site, ann)
    for place in range(0, len(genuine.data), 3):
        forged = bytearray(genuine.data)
        forged[place] ^= 1
        overwrite(site, ann, dataclasses.replace(genuine, data=bytes(forged)))
        assert site.visit(who, ann.cookie).value is None
    overwrite(site, ann, genuine)
    assert site.visit(who, ann.cookie).value == "ann"


def test_law_08_a_stolen_store_is_worthless_to_swap(site: Website, ann: Answer) -> None:
    """… cannot swap two: a record opens for its own token only. What meta says is nobody's authority."""
    mallory = site.visit(lambda session: session.login("mallory"))
    own = record_of(site, mallory)
    for stolen in (record_of(site, ann), dataclasses.replace(own, data=record_of(site, ann).data)):
        overwrite(site, mallory, stolen)
        assert site.visit(who, mallory.cookie).value is None
    overwrite(site, mallory, dataclasses.replace(own, meta=record_of(site, ann).meta))
    assert site.visit(who, mallory.cookie).value == "mallory"


def test_law_08_a_stolen_store_is_worthless_past_the_absolute_end(site: Website, clock: Clock, ann: Answer) -> None:
    """… can keep one from idling out, never past its absolute end."""
    kept = dataclasses.replace(record_of(site, ann), expires_at=clock() + 1000 * DAY)
    overwrite(site, ann, kept)
    clock.advance(90 * DAY - 1)
    assert site.visit(who, ann.cookie).value == "ann"
    clock.advance(1)
    assert site.visit(who, ann.cookie).value is None


# 9. Login changes the token


LOGINS: dict[str, View] = {
    "login": login,
    "an identity key": keep(user_id=7),
    "Flask-Login's": keep(_user_id="7"),
    "Flask's recipe": lambda session: (session.clear(), session.update(user_id=7)),
}


@pytest.mark.parametrize("name", LOGINS)
def test_law_09_login_changes_the_token(site: Website, name: str) -> None:
    """Login changes the token, and a token that an attacker planted before stays anonymous."""
    planted = site.visit(keep(cart=["bait"]))
    victim = site.visit(LOGINS[name], planted.cookie)
    assert victim.cookie != planted.cookie
    attacker = site.visit(lambda session: (session.logged_in_as, dict(session)), planted.cookie)
    assert attacker.value == (None, {})
    assert site.look(victim.cookie).keys() & {"user_id", "_user_id", "cart"}


def test_law_09_login_changes_the_token_that_was_never_live(site: Website) -> None:
    """… also a planted token that no session ever had."""
    planted = SessionToken.new().cookie_value()
    assert site.visit(login, planted).cookie != planted
    assert site.visit(who, planted).value is None


def test_law_09_login_changes_the_token_and_so_does_reauthentication(site: Website) -> None:
    """… and so does re-authentication."""
    before = site.visit(login)
    after = site.visit(lambda session: session.reauthenticated(), before.cookie)
    assert after.cookie != before.cookie
    assert (site.visit(who, before.cookie).value, site.visit(who, after.cookie).value) == (None, "ann")


# 10. The server's clock decides


@pytest.mark.parametrize(
    ("config", "seconds"),
    [({}, DAY), ({"PERMANENT_SESSION_LIFETIME": HOUR}, HOUR), ({"SESSION_ABSOLUTE": 2 * HOUR}, 2 * HOUR)],
    ids=["idle", "idle, shorter", "absolute"],
)
def test_law_10_the_servers_clock_decides(
    store: KeyedStore, clock: Clock, config: dict[str, Any], seconds: float
) -> None:
    """Both timeouts are checked on every read by the argument `now`, whether or not the store's sweeper has run."""
    site = Website(store, clock, **config)
    visitor = site.visit(keep(a=1))
    clock.advance(seconds - 1)
    assert isinstance(store.store.read(site.key(visitor.cookie), clock()), Record)
    clock.advance(1)
    for view in (dict, keep(b=1), lambda session: session.rotate()):
        site.visit(view, visitor.cookie)
        assert site.look(visitor.cookie) == {}


def test_law_10_the_servers_clock_decides_by_sealed_data(store: KeyedStore, clock: Clock) -> None:
    """… the absolute one from sealed data, however long the store would keep the record."""
    site = Website(store, clock, SESSION_ABSOLUTE=2 * HOUR)
    visitor = site.visit(keep(a=1))
    assert store.store.touch(site.key(visitor.cookie), clock() + 1000 * DAY, clock(), clock())
    clock.advance(2 * HOUR)
    assert record_of(site, visitor)
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("second", ["", ".1", ".99999999999", ".1.99999999999", ".99999999999.99999999999"])
def test_law_10_the_servers_clock_decides_whatever_the_cookie_says(site: Website, clock: Clock, second: str) -> None:
    """… whatever the cookie says: one that a browser kept too long, or that somebody changed, opens nothing."""
    visitor = site.visit(lambda session: (setattr(session, "permanent", True), session.update(a=1)))
    cookie = str(visitor.cookie).split(".")[0] + second
    clock.advance(31 * DAY)
    assert site.visit(lambda session: None, cookie).set_cookies == []
    assert site.look(cookie) == {}


def test_law_10_there_is_no_key_in_a_cookie_but_the_token(visitor: Answer, site: Website) -> None:
    """Neither the store key nor the handle, which others may see, is of use as a cookie."""
    handle = site.visit(lambda session: session.handle, visitor.cookie).value
    key = urlsafe_b64encode(site.key(visitor.cookie)).decode().rstrip("=")
    assert [site.look(useless) for useless in (handle, key, site.key(visitor.cookie).hex())] == [{}, {}, {}]
