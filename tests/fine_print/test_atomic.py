"""DESIGN §6, "`atomic(fn)`"."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from coatcheck.session import Session
from tests.fine_print.website import Answer, View, Website, keep


def increment(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def count(session: Session) -> None:
    session.atomic(increment)


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody whose n is 10."""
    return site.visit(keep(n=10))


# Runs at once, and again


def test_the_function_runs_at_once_on_the_views_copy(site: Website, visitor: Answer) -> None:
    """`fn(session)` runs at once on the view's copy: the view sees what it did, of what the view did before."""
    runs: list[str] = []

    def view(session: Session) -> object:
        session["before"] = 1
        session.atomic(lambda s: (runs.append("run"), s.update(seen=s["before"], n=s["n"] + 1)))
        return session["seen"], session["n"], list(runs)

    assert site.visit(view, visitor.cookie).value == (1, 11, ["run"])
    assert site.look(visitor.cookie) == {"n": 11, "before": 1, "seen": 1}
    assert runs == ["run"]  # nobody came in between, so it was not repeated


def test_the_function_is_synchronous(site: Website, visitor: Answer) -> None:
    """`fn` is synchronous and free of side effects: an async one, which nobody would await, is refused at the call."""

    async def later(session: Session) -> None:
        session["n"] = 0

    def view(session: Session) -> str:
        with pytest.raises(TypeError, match="async function, which would not run; write a plain one"):
            session.atomic(later)
        return "refused"

    assert site.visit(view, visitor.cookie).value == "refused"
    assert site.look(visitor.cookie) == {"n": 10}


def test_on_a_conflict_it_runs_on_what_won(site: Website, visitor: Answer) -> None:
    """… and is noted; at commit, on a conflict, … noted functions are replayed on the winner."""
    site.store.before("replace", lambda: site.visit(keep(n=100), visitor.cookie))
    answer = site.visit(lambda session: (count(session), session["n"])[1], visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 101
    assert answer.value == 11  # what the view saw may be provisional


def test_what_the_view_saw_may_be_provisional(site: Website, visitor: Answer) -> None:
    """… what the view saw may be provisional: the function decides anew on what won."""

    def take(session: Session) -> None:
        if session["n"] > 0:
            session.update(n=0, taken=session["n"])

    site.store.before("replace", lambda: site.visit(keep(n=0, theirs=1), visitor.cookie))
    answer = site.visit(lambda session: (session.atomic(take), session["taken"])[1], visitor.cookie)
    assert answer.value == 10
    assert site.look(visitor.cookie) == {"n": 0, "theirs": 1}


def test_its_return_value_is_ignored(site: Website, visitor: Answer) -> None:
    """… its return value is ignored."""
    assert site.visit(lambda session: session.atomic(lambda s: {"n": 99}), visitor.cookie).value is None
    assert site.look(visitor.cookie) == {"n": 10}


# Order


def test_plain_changes_and_functions_are_replayed_in_call_order(site: Website, visitor: Answer) -> None:
    """… plain changes and noted functions are replayed on the winner in call order."""

    def view(session: Session) -> None:
        session["step"] = "one"
        session.atomic(lambda s: s.update(seen=[s.get("step"), s["n"]]))
        session["step"] = "two"
        session.atomic(lambda s: s["seen"].append(s["step"]))
        session["step"] = "three"

    site.store.before("replace", lambda: site.visit(keep(n=100, step="theirs"), visitor.cookie))
    site.visit(view, visitor.cookie)
    assert site.look(visitor.cookie) == {"n": 100, "step": "three", "seen": ["one", 100, "two"]}


def test_functions_are_replayed_in_call_order(site: Website, visitor: Answer) -> None:
    """… noted functions are replayed on the winner in call order: (100 + 1) * 2, not 100 * 2 + 1."""

    def view(session: Session) -> None:
        session.atomic(increment)
        session.atomic(lambda s: s.update(n=s["n"] * 2))

    site.store.before("replace", lambda: site.visit(keep(n=100), visitor.cookie))
    site.visit(view, visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 202


def test_a_plain_change_after_a_function_wins(site: Website, visitor: Answer) -> None:
    """… in call order: a plain change of the same key after the function has the last word, before it the first."""
    site.store.before("replace", lambda: site.visit(keep(n=100), visitor.cookie))
    site.visit(lambda session: (count(session), session.update(n=0)), visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 0
    site.store.before("replace", lambda: site.visit(keep(n=100), visitor.cookie))
    site.visit(lambda session: (session.update(n=1), count(session)), visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 2


def test_what_a_function_did_is_not_counted_as_a_plain_change(site: Website, visitor: Answer) -> None:
    """… and what a function did is not counted as a plain change: what it would not do to the winner is not done."""

    def once(session: Session) -> None:
        if "done" not in session:
            session.update(done="mine", mine=1)
            session.pop("n")

    site.store.before("replace", lambda: site.visit(keep(done="theirs"), visitor.cookie))
    site.visit(lambda session: session.atomic(once), visitor.cookie)
    assert site.look(visitor.cookie) == {"n": 10, "done": "theirs"}


def test_a_function_within_a_function_counts_once(site: Website, visitor: Answer) -> None:
    """… noted functions are replayed on the winner: one that calls `atomic` itself, as a helper may, is exact too."""
    site.store.before("replace", lambda: site.visit(keep(n=100), visitor.cookie))
    site.visit(lambda session: session.atomic(count), visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 101


def test_clear_drops_the_functions_before_it(site: Website, visitor: Answer) -> None:
    """… in call order: what was noted before `clear()` belongs to the session that it ended."""
    site.store.before("delete", lambda: site.visit(count, visitor.cookie))
    again = site.visit(lambda session: (count(session), session.clear(), count(session)), visitor.cookie)
    assert site.look(again.cookie) == {"n": 1}


# Exact


def test_it_is_exact_however_often_others_win(site: Website, visitor: Answer) -> None:
    """Law 1: `session.atomic(fn)` is exact, also when five others are faster, one after the other."""
    site.store.before_each("replace", *[lambda: site.visit(count, visitor.cookie)] * 5)
    site.visit(count, visitor.cookie)
    assert site.look(visitor.cookie)["n"] == 16


def test_overlapping_increments_are_exact(site: Website, visitor: Answer) -> None:
    """Law 1: overlapping increments all count; here 20 requests that all have read before the first one writes."""
    all_have_read = Barrier(20)

    def view(session: Session) -> None:
        count(session)
        all_have_read.wait(timeout=30)

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(site.visit, view, visitor.cookie) for _ in range(20)]
    assert {answer.result().status for answer in answers} == {200}
    assert site.look(visitor.cookie)["n"] == 30


@pytest.mark.parametrize("rotation", [lambda session: session.rotate(), lambda session: session.login("ann")])
def test_it_is_exact_across_a_rotation(site: Website, visitor: Answer, rotation: View) -> None:
    """… noted functions are replayed on the winner: also into the record of a rotation."""
    site.store.before_each("delete", *[lambda: site.visit(count, visitor.cookie)] * 2)
    rotated = site.visit(lambda session: (count(session), rotation(session)), visitor.cookie)
    assert site.look(rotated.cookie)["n"] == 13


@pytest.mark.parametrize("carried_out", [True, False])
def test_it_is_exact_with_an_unanswered_write(site: Website, visitor: Answer, carried_out: bool) -> None:
    """`atomic` with an unanswered write: it counts once, whether the write was carried out or not."""
    site.store.lose_answer("replace", carried_out=carried_out)
    assert site.visit(count, visitor.cookie).status == 200
    assert site.look(visitor.cookie)["n"] == 11


@pytest.mark.parametrize("carried_out", [True, False])
def test_it_is_exact_with_an_unanswered_first_write(site: Website, carried_out: bool) -> None:
    """`atomic` with an unanswered write: also where that one creates the session."""
    site.store.lose_answer("create", carried_out=carried_out)
    answer = site.visit(count)
    assert answer.status == 200
    assert site.look(answer.cookie)["n"] == 1


@pytest.mark.parametrize("carried_out", [True, False])
def test_it_is_exact_with_a_conflict_and_an_unanswered_write(
    site: Website, visitor: Answer, carried_out: bool
) -> None:
    """`atomic` with an unanswered write: also where it is the second try, after a conflict, that is not answered."""
    site.store.before_each(
        "replace",
        lambda: site.visit(count, visitor.cookie),
        lambda: site.store.lose_answer("replace", carried_out=carried_out),
    )
    assert site.visit(count, visitor.cookie).status == 200
    assert site.look(visitor.cookie)["n"] == 12


def test_it_is_exact_if_the_unanswered_write_arrives_late(site: Website, visitor: Answer) -> None:
    """`atomic` with an unanswered write: one that was still on its way when the store was asked, and then arrives
    before it is sent again."""
    site.store.deliver_late("replace")
    assert site.visit(count, visitor.cookie).status == 200
    assert site.look(visitor.cookie)["n"] == 11
