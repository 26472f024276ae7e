"""DESIGN §6, "A late commit": a request whose session ended meanwhile, and when a cookie is deleted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coatcheck.stores import Record
from tests.fine_print.website import Answer, View, Website, keep, logout

ENDINGS: dict[str, View] = {
    "logout": logout,
    "clear and set": lambda session: (session.clear(), session.update(other=1)),
    "rotate": lambda session: session.rotate(),
    "login": lambda session: session.login("ann"),
    "emptied": lambda session: [session.pop(key) for key in list(session)],
}
LATE: dict[str, View] = {
    "write": keep(late=1),
    "nested write": lambda session: session["cart"].append("late"),
    "removal": lambda session: session.pop("cart"),
    "all removed": lambda session: [session.pop(key) for key in list(session)],
    "atomic": lambda session: session.atomic(keep(late=1)),
    "permanent": lambda session: setattr(session, "permanent", True),
    "rotate": lambda session: session.rotate(),
    "identity": keep(user_id=7),
}


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody with a cart."""
    return site.visit(keep(cart=["apple"], n=0))


def _events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.event for record in caplog.records if hasattr(record, "event")]


def _stored(site: Website) -> dict[bytes, Record]:
    """Return every live record, to the byte."""
    now = site.clock()
    return {key: record for key in site.store.live(now) if isinstance(record := site.store.read(key, now), Record)}


def _late(site: Website, visitor: Answer, late: View, end: Callable[[], object]) -> Answer:
    """Let a request load its session and act, then ``end`` the session, then let it commit."""
    return site.visit(lambda session: (late(session), end()), visitor.cookie)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("late", LATE)
def test_a_request_whose_session_ended_meanwhile(site: Website, visitor: Answer, ending: str, late: str) -> None:
    """A request whose session ended meanwhile … writes nothing, creates nothing, sends neither Set-Cookie nor a
    deletion; its response stands."""
    stored: list[dict[bytes, Record]] = []

    def end() -> None:
        site.visit(ENDINGS[ending], visitor.cookie)
        stored.append(_stored(site))

    answer = _late(site, visitor, LATE[late], end)
    assert _stored(site) == stored[0]
    assert site.look(visitor.cookie) == {}
    assert (answer.status, answer.text, answer.set_cookies) == (200, "done", [])


def test_it_is_the_same_for_a_permanent_session(site: Website) -> None:
    """… sends neither Set-Cookie nor a deletion: also where each response would refresh the cookie."""
    visitor = site.visit(lambda session: (session.update(n=0), setattr(session, "permanent", True)))
    answer = _late(site, visitor, keep(late=1), lambda: site.visit(logout, visitor.cookie))
    assert answer.set_cookies == []
    assert site.store.live(site.clock()) == set()


def test_a_refresh_that_comes_too_late_sends_nothing(site: Website) -> None:
    """… sends neither Set-Cookie nor a deletion: also a request that only read, if it asks the store for a refresh."""
    visitor = site.visit(lambda session: (session.update(n=0), setattr(session, "permanent", True)))
    site.clock.advance(3600)
    answer = _late(site, visitor, lambda session: session["n"], lambda: site.visit(logout, visitor.cookie))
    assert (answer.text, answer.set_cookies) == ("done", [])
    assert site.store.live(site.clock()) == set()


@pytest.mark.parametrize("late", LATE)
def test_a_session_that_expired_meanwhile_has_ended(site: Website, visitor: Answer, late: str) -> None:
    """A request whose session ended meanwhile: expiry is an end like others (law 2)."""
    answer = _late(site, visitor, LATE[late], lambda: site.clock.advance(2 * 86400))
    assert (answer.text, answer.set_cookies) == ("done", [])
    assert site.store.live(site.clock()) == set()


def test_the_event_says_so(site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose session ended meanwhile is told so: … the event `commit_after_end` says so, by the handle."""
    handle = site.visit(lambda session: session.handle, visitor.cookie).value
    _late(site, visitor, keep(late="a value"), lambda: site.visit(logout, visitor.cookie))
    (record,) = [record for record in caplog.records if hasattr(record, "event")]
    assert (record.event, record.handle) == ("commit_after_end", handle)
    assert str(visitor.cookie) not in caplog.text
    assert "a value" not in caplog.text


def test_a_request_that_only_read_is_no_late_commit(
    site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """The event `commit_after_end` is for changes that were dropped; who changed nothing has lost nothing."""
    answer = _late(site, visitor, dict, lambda: site.visit(logout, visitor.cookie))
    assert (answer.text, answer.set_cookies, _events(caplog)) == ("done", [], [])


@pytest.mark.parametrize("verb", ["replace", "delete"])
def test_a_session_that_ends_at_the_last_moment(site: Website, visitor: Answer, verb: str) -> None:
    """A request whose session ended meanwhile … writes nothing: the verb itself finds the tombstone."""
    late = LATE["write"] if verb == "replace" else LATE["all removed"]
    site.store.before(verb, lambda: site.visit(logout, visitor.cookie))
    assert site.visit(late, visitor.cookie).set_cookies == []
    assert site.store.live(site.clock()) == set()


# When a cookie is deleted


@pytest.mark.parametrize("ending", ["logout", "emptied"])
def test_who_ends_a_session_deletes_its_cookie(site: Website, visitor: Answer, ending: str) -> None:
    """A deletion goes out if … *this* request ended a live session and nothing is left to send."""
    answer = site.visit(ENDINGS[ending], visitor.cookie)
    (deletion,) = answer.set_cookies
    assert deletion.startswith("session=; ")
    assert "Max-Age=0" in deletion
    assert answer.cookie is None


@pytest.mark.parametrize("ending", ["clear and set", "rotate", "login"])
def test_who_has_something_to_send_deletes_nothing(site: Website, visitor: Answer, ending: str) -> None:
    """A deletion goes out only if … nothing is left to send: else the new cookie goes out, and nothing else."""
    (header,) = site.visit(ENDINGS[ending], visitor.cookie).set_cookies
    assert "Max-Age=0" not in header
    assert not header.startswith("session=;")


@pytest.mark.parametrize("late", ["logout", "emptied"])
@pytest.mark.parametrize("first", ["logout", "emptied"])
def test_only_who_ended_it_deletes_the_cookie(site: Website, visitor: Answer, first: str, late: str) -> None:
    """A deletion goes out … only if *this* request ended a live session: not from the second of two."""
    answers: list[Answer] = []
    answer = _late(
        site, visitor, ENDINGS[late], lambda: answers.append(site.visit(ENDINGS[first], visitor.cookie))
    )
    assert answers[0].cookie is None
    assert answer.set_cookies == []


def test_who_emptied_what_another_filled_deletes_nothing(site: Website, visitor: Answer) -> None:
    """A deletion goes out only if this request ended a live session: emptied by `pop`, and then merged, it lives on."""
    site.store.before("delete", lambda: site.visit(keep(theirs=1), visitor.cookie))
    assert site.visit(ENDINGS["emptied"], visitor.cookie).cookie == visitor.cookie
    assert site.look(visitor.cookie) == {"theirs": 1}


def test_clear_on_nothing_sends_nothing(site: Website) -> None:
    """`clear()` on nothing sends nothing."""
    for end in (lambda session: session.clear(), logout):
        before = len(site.store.calls)
        assert site.visit(end).set_cookies == []
        assert site.visit(lambda session, end=end: (session.update(a=1), end(session))).set_cookies == []
        assert site.store.calls[before:] == []


@pytest.mark.parametrize("view", [dict, lambda session: session.clear(), logout], ids=["read", "clear", "logout"])
@pytest.mark.parametrize("cookie", ["A" * 43, "A" * 43 + ".1700000000", "nonsense", "x" * 5000])
def test_an_unknown_cookie_is_never_deleted(site: Website, view: View, cookie: str) -> None:
    """… an unknown cookie is never deleted on a mere read. (It may be another application's.)"""
    assert site.visit(view, cookie).set_cookies == []
    assert site.store.live(site.clock()) == set()


def test_the_cookie_of_an_ended_session_is_never_deleted_on_a_read(site: Website, visitor: Answer) -> None:
    """A deletion goes out only if *this* request ended a live session: not when an ended one's cookie comes again."""
    site.visit(logout, visitor.cookie)
    for view in (dict, logout, ENDINGS["emptied"]):
        assert site.visit(view, visitor.cookie).set_cookies == []
    site.clock.advance(3600)  # the tombstone is gone too
    assert site.visit(logout, visitor.cookie).set_cookies == []
