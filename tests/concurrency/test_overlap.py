"""Laws 1 and 2 among requests that overlap: no update is lost, and what has ended stays ended."""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_lowercase

import pytest

from .crowd import RENEW_AFTER, Processes, Threads

ROUNDS = 200


@pytest.fixture
def new_session(crowd: Threads | Processes) -> Callable[[], str]:
    """Start a session that holds one key, and return its cookie."""

    def start() -> str:
        answer = crowd.visit("/set/first")
        assert answer.status == "200 OK"
        assert answer.cookie
        return answer.cookie

    return start


def test_26_overlapping_requests_that_write_26_keys_lose_none(
    crowd: Threads | Processes, new_session: Callable[[], str]
) -> None:
    """Law 1, no lost update: the changes that overlapping requests make to different keys all survive."""
    for _ in range(ROUNDS):
        cookie = new_session()
        answers = crowd.visit_at_once([f"/set/{letter}" for letter in ascii_lowercase], cookie)
        assert {answer.status for answer in answers} == {"200 OK"}
        assert crowd.visit("/", cookie).values == {key: key for key in ["first", *ascii_lowercase]}


def test_100_overlapping_atomic_increments_give_100(crowd: Threads | Processes, new_session: Callable[[], str]) -> None:
    """Law 1: session.atomic(fn) is exact, 100 overlapping increments give 100."""
    for _ in range(ROUNDS):
        cookie = new_session()
        answers = crowd.visit_at_once(["/add"] * 100, cookie)
        assert {answer.status for answer in answers} == {"200 OK"}
        assert crowd.visit("/", cookie).values == {"first": "first", "hits": 100}


def test_a_logout_during_25_overlapping_requests_leaves_no_live_record(
    crowd: Threads | Processes, new_session: Callable[[], str], live_records: Callable[[], int]
) -> None:
    """Law 2, no resurrection: once ended by a logout, no late commit brings a session back, and its cookie is dead."""
    for number in range(ROUNDS):
        cookie = new_session()
        paths = [f"/set/{letter}" for letter in ascii_lowercase[:25]]
        paths.insert(number % 26, "/logout")
        answers = crowd.visit_at_once(paths, cookie)
        assert {answer.status for answer in answers} == {"200 OK"}
        assert {answer.cookie for answer in answers} <= {None, cookie, ""}
        assert [answer.cookie for answer in answers].count("") == 1  # the logout deletes it, and nobody else does
        assert live_records() == 0
        assert crowd.visit("/", cookie).values == {}


def test_a_rotation_during_25_overlapping_requests_keeps_what_came_before_it(
    crowd: Threads | Processes, new_session: Callable[[], str], live_records: Callable[[], int]
) -> None:
    """Laws 1 and 2 together: a write before the rotation moves along, one after it is dropped, and the old token dies.

    The answer says which it was: who comes too late sends no Set-Cookie.
    """
    for number in range(ROUNDS // 4):
        cookie = new_session()
        keys = list(ascii_lowercase[:25])
        keys.insert(number % 26, "rotate")
        answers = crowd.visit_at_once([f"/set/{key}" if key != "rotate" else "/rotate" for key in keys], cookie)
        assert {answer.status for answer in answers} == {"200 OK"}
        (rotated,) = {answer.cookie for answer in answers} - {None, cookie}
        assert rotated
        saved = {key for key, answer in zip(keys, answers, strict=True) if answer.cookie == cookie}
        assert crowd.visit("/", rotated).values.keys() == saved | {"first"}
        assert crowd.visit("/", cookie).values == {}
        assert live_records() == number + 1


def test_a_hundred_requests_around_a_renewal_log_nobody_out(
    crowd: Threads | Processes, new_session: Callable[[], str], live_records: Callable[[], int]
) -> None:
    """A hundred parallel requests notice nothing: all get the one new cookie, and the old one lasts for 60 seconds."""
    keys = [f"key{number}" for number in range(50)]
    for number in range(ROUNDS // 20):
        cookie = new_session()
        crowd.advance(RENEW_AFTER)
        answers = crowd.visit_at_once([path for key in keys for path in ("/meet", f"/set/{key}")], cookie)
        assert {answer.status for answer in answers} == {"200 OK"}
        (renewed,) = {answer.cookie for answer in answers}
        assert renewed not in (None, "", cookie)
        for either in (cookie, renewed):
            assert crowd.visit("/", either).values == {key: key for key in ["first", *keys]}
        assert live_records() == number + 2  # this session and the pointer to it, and the sessions of earlier rounds
        crowd.advance(60)
        assert crowd.visit("/", cookie).values == {}
        assert crowd.visit("/", renewed).values["first"] == "first"
