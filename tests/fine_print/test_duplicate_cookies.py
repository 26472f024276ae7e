"""DESIGN §6, "Cookies of the session": several cookies of our name."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import pytest

from coatcheck.stores import Record
from coatcheck.testing import Clock
from coatcheck.tokens import SessionToken
from tests.fine_print.website import Answer, KeyedStore, Website, keep, logout


@pytest.fixture
def visitor(site: Website) -> Answer:
    return site.visit(keep(a=1))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the log lines from warnings up, each with the name of its event."""

    def collect() -> list[str]:
        return [f"{r.event}: {r.getMessage()}" for r in caplog.records if r.levelno >= logging.WARNING]  # type: ignore[attr-defined]

    return collect


def several(*cookies: str | None) -> str:
    """Return what the website sends as its cookie so that the header holds all of these, in this order."""
    return "; session=".join(map(str, cookies))


def unknown() -> str:
    return SessionToken.new().cookie_value()


@pytest.mark.parametrize("place", range(3))
def test_exactly_one_live_counts(
    site: Website, visitor: Answer, warnings: Callable[[], list[str]], place: int
) -> None:
    """Exactly one live: it counts, with an event, wherever it stands among the others."""
    cookies = [unknown(), unknown()]
    cookies.insert(place, str(visitor.cookie))
    assert site.look(several(*cookies)) == {"a": 1}
    (line,) = warnings()
    assert line.startswith("duplicate_cookie: ")


def test_it_is_used_as_if_it_were_alone(site: Website, visitor: Answer) -> None:
    """… it counts: what is written is written to that session, and logging out ends it."""
    both = several(unknown(), visitor.cookie)
    assert site.visit(keep(b=1), both).cookie == visitor.cookie
    assert site.look(visitor.cookie) == {"a": 1, "b": 1}
    site.visit(logout, both)
    assert site.look(visitor.cookie) == {}


@pytest.mark.parametrize("live", [2, 3])
def test_several_live_are_a_fresh_session(site: Website, warnings: Callable[[], list[str]], live: int) -> None:
    """… more: fresh session, event, a log line."""
    visitors = [site.visit(keep(number=number)) for number in range(live)]
    all_of_them = several(*(visitor.cookie for visitor in visitors))
    assert site.look(all_of_them) == {}
    fresh = site.visit(keep(a=1), all_of_them)
    assert fresh.cookie not in [visitor.cookie for visitor in visitors]
    assert len(warnings()) == 2
    for number, visitor in enumerate(visitors):
        assert site.look(visitor.cookie) == {"number": number}  # none was changed or ended


@pytest.mark.parametrize("end", [logout, lambda session: session.clear()])
def test_several_live_are_not_ended_either(site: Website, end: Callable[..., object]) -> None:
    """… fresh session: nobody may say which of several is meant, so a logout ends none, and deletes no cookie."""
    one, other = site.visit(keep(a=1)), site.visit(keep(a=2))
    assert site.visit(end, several(one.cookie, other.cookie)).set_cookies == []
    assert (site.look(one.cookie), site.look(other.cookie)) == ({"a": 1}, {"a": 2})


def test_the_log_line_names_the_likely_cause(
    site: Website, visitor: Answer, warnings: Callable[[], list[str]]
) -> None:
    """… a log line that names the likely cause (a changed Domain or Path), and no token."""
    other = site.visit(keep(a=2))
    site.look(several(visitor.cookie, other.cookie))
    (line,) = warnings()
    assert "changed Domain or Path" in line
    assert str(visitor.cookie) not in line
    assert str(other.cookie) not in line


@pytest.mark.parametrize("sent", [2, 3, 4, 9])
def test_at_most_three_are_looked_up(site: Website, sent: int) -> None:
    """At most three different well-formed candidates are looked up, however many are sent."""
    assert site.calls(dict, several(*(unknown() for _ in range(sent)))) == ["read"] * min(sent, 3)


def test_a_fourth_is_not_looked_up(site: Website, visitor: Answer) -> None:
    """At most three …: a session behind three unknown ones is not found; bounded time comes first (law 7)."""
    strangers = [unknown(), unknown(), unknown()]
    assert site.look(several(*strangers, visitor.cookie)) == {}
    assert site.look(several(*strangers[1:], visitor.cookie)) == {"a": 1}


@pytest.mark.parametrize(
    "other", ["", "x", "A" * 43 + "=", "é" * 43, '"quoted"', "A" * 100],
    ids=["empty", "short", "padded", "not ASCII", "quoted", "long"],
)
def test_only_well_formed_ones_are_candidates(
    site: Website, visitor: Answer, warnings: Callable[[], list[str]], other: str
) -> None:
    """… *well-formed* candidates: what cannot be a token is none, costs no read and makes no event."""
    for order in itertools.permutations([visitor.cookie, other, other, other]):
        before = len(site.store.calls)
        assert site.look(several(*order)) == {"a": 1}
        assert site.store.calls[before:] == ["read"]
    assert warnings() == []


def test_the_same_twice_is_one(site: Website, clock: Clock, warnings: Callable[[], list[str]]) -> None:
    """… *different* candidates: one token twice is one, also with another second of its last refresh."""
    visitor = site.visit(lambda session: (setattr(session, "permanent", True), session.update(a=1)))
    clock.advance(60)
    refreshed = site.visit(dict, visitor.cookie)
    assert refreshed.cookie != visitor.cookie
    assert site.calls(dict, several(visitor.cookie, refreshed.cookie, visitor.cookie)) == ["read"]
    assert warnings() == []


@pytest.mark.parametrize("reverse", [False, True])
def test_an_old_and_a_new_token_of_one_session(store: KeyedStore, clock: Clock, reverse: bool) -> None:
    """Exactly one live: an old token that points to the session and its new one lead to the same, which counts."""
    site = Website(store, clock, SESSION_RENEW_AFTER=900)
    visitor = site.visit(keep(a=1))
    clock.advance(900)
    renewed = site.visit(dict, visitor.cookie)
    assert renewed.cookie != visitor.cookie
    assert isinstance(store.store.read(site.key(visitor.cookie), clock()), Record)  # the pointer is live
    both = [visitor.cookie, renewed.cookie]
    assert site.look(several(*(reversed(both) if reverse else both))) == {"a": 1}


def test_none_live(site: Website, visitor: Answer) -> None:
    """Where none is live the session is fresh, as for a single unknown cookie; none is deleted on a mere read."""
    site.visit(logout, visitor.cookie)
    answer = site.visit(dict, several(visitor.cookie, unknown()))
    assert (answer.value, answer.set_cookies) == ({}, [])
