"""DESIGN §6, what else holds after a conflict: remembered logins, replayed functions, cookies, what is left behind."""

from __future__ import annotations

import pytest

from coatcheck.errors import StoreError
from coatcheck.session import Session
from coatcheck.testing import Clock
from tests.fine_print.website import Answer, KeyedStore, Website, keep, logout

DAY = 86_400


def permanent(session: Session) -> None:
    session.permanent = True


def test_a_login_whose_old_session_ended_is_remembered_all_the_same(site: Website, clock: Clock) -> None:
    """*Ended* at a login: the new record stays, with what this request itself wrote; ``remember=`` is of that."""
    visitor = site.visit(lambda session: session.update(_permanent=True, cart=["apple"]))
    site.store.before("delete", lambda: site.visit(logout, visitor.cookie))
    answer = site.visit(lambda session: session.login("ann", remember=30 * DAY), visitor.cookie)
    clock.advance(25 * 3600)
    assert site.visit(lambda session: session.logged_in_as, answer.cookie).value == "ann"


def test_a_replayed_function_knows_who_is_logged_in(site: Website) -> None:
    """… replayed on the winner: of the same session, so with the same user."""
    visitor = site.visit(lambda session: session.login("ann"))
    site.store.before("replace", lambda: site.visit(keep(theirs=1), visitor.cookie))
    site.visit(lambda session: session.atomic(lambda s: s.update(by=s.logged_in_as)), visitor.cookie)
    assert site.look(visitor.cookie) == {"theirs": 1, "by": "ann"}


def test_the_cookie_says_what_was_stored(site: Website) -> None:
    """`permanent` is a key like others: if another request has just set it, the cookie of this one is permanent too."""
    visitor = site.visit(keep(a=1))
    site.store.before("replace", lambda: site.visit(permanent, visitor.cookie))
    answer = site.visit(keep(b=2), visitor.cookie)
    assert [header for header in answer.set_cookies if "Max-Age" not in header] == []
    assert answer.set_cookies != []


def test_two_that_begin_a_list_keep_both(site: Website) -> None:
    """A list that both only appended to, or both began, keeps both tails."""
    visitor = site.visit(keep(a=1))

    def buy(item: str) -> object:
        return lambda session: session.setdefault("cart", []).append(item)

    site.store.before("replace", lambda: site.visit(buy("apple"), visitor.cookie))
    site.visit(buy("pear"), visitor.cookie)
    assert site.look(visitor.cookie) == {"a": 1, "cart": ["apple", "pear"]}


@pytest.mark.parametrize("verb", ["login", "rotate"])
def test_what_fails_leaves_no_record_behind(site: Website, store: KeyedStore, verb: str) -> None:
    """What fails at commit commits nothing: a new record whose old one could not be ended is taken back."""
    visitor: Answer = site.visit(keep(a=1))

    def fail() -> None:
        raise StoreError("down for a moment")

    store.before("delete", fail)
    arguments = ("ann",) if verb == "login" else ()
    answer = site.visit(lambda session: getattr(session, verb)(*arguments), visitor.cookie)
    assert answer.status == 503
    assert set(store.live(site.clock())) == {site.key(visitor.cookie)}
