"""DESIGN §6, "Verbs act at commit" (without limits, which come with a later issue)."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import pytest
from flask import Response, make_response
from werkzeug.exceptions import HTTPException

from coatcheck.errors import StoreError
from coatcheck.flask import session
from coatcheck.session import Session
from coatcheck.testing import Clock
from tests.fine_print.website import Answer, KeyedStore, View, Website, in_memory, keep, logout, who


def login(session: Session) -> None:
    session.login("ann")


@pytest.fixture(params=["anonymous", "logged in"])
def visitor(request: pytest.FixtureRequest, site: Website) -> Answer:
    """Somebody with a cart, who has logged in or not."""
    first = site.visit(keep(cart=["apple"]))
    return first if request.param == "anonymous" else site.visit(login, first.cookie)


# At once for the view, later for the store


def test_the_view_sees_a_logout_at_once(site: Website, visitor: Answer) -> None:
    """The view sees their effect at once (`logout()` empties …)."""

    def view(session: Session) -> object:
        session.logout()
        return dict(session), session.logged_in_as, session.handle, session.new, session.expires_at

    assert site.visit(view, visitor.cookie).value == ({}, None, None, True, None)


def test_the_view_sees_a_login_at_once(site: Website, visitor: Answer) -> None:
    """The view sees their effect at once (… `login()` sets `logged_in_as`), and what the session holds stays."""

    def view(session: Session) -> object:
        handle = session.handle
        session.login("ann")
        return session.logged_in_as, dict(session), session.handle == handle

    assert site.visit(view, visitor.cookie).value == ("ann", {"cart": ["apple"]}, True)


@pytest.mark.parametrize("verb", ["login", "logout", "rotate", "clear"])
def test_the_store_learns_of_it_at_the_commit(site: Website, visitor: Answer, verb: str) -> None:
    """The view sees their effect at once …, the store at commit: until then others find the session as it was."""

    def view(session: Session) -> object:
        session.get("cart")
        calls = list(site.store.calls)
        session.login("bob") if verb == "login" else getattr(session, verb)()
        assert site.store.calls == calls
        return site.look(visitor.cookie)

    assert site.visit(view, visitor.cookie).value == {"cart": ["apple"]}
    assert site.look(visitor.cookie) == {}


# The last called wins

VERBS: dict[str, View] = {"login": login, "logout": logout, "clear": lambda session: session.clear()}


def _check_the_last_wins(site: Website, visitor: Answer, *verbs: str) -> None:
    answer = site.visit(lambda session: [VERBS[verb](session) for verb in verbs], visitor.cookie)
    assert site.look(visitor.cookie) == {}
    if verbs[-1] == "login":
        assert site.visit(who, answer.cookie).value == "ann"
        kept = {"cart": ["apple"]} if set(verbs) == {"login"} else {}
        assert site.look(answer.cookie) == kept
        assert site.store.live(site.clock()) == {site.key(answer.cookie)}
    else:
        assert answer.cookie is None
        assert site.store.live(site.clock()) == set()


@pytest.mark.parametrize(("first", "last"), product(VERBS, VERBS))
def test_of_two_verbs_the_last_called_wins(site: Website, visitor: Answer, first: str, last: str) -> None:
    """… of login, logout and clear the last called wins: every pair."""
    _check_the_last_wins(site, visitor, first, last)


@pytest.mark.parametrize("verbs", list(product(VERBS, VERBS, VERBS)), ids=" ".join)
@in_memory
def test_of_three_verbs_the_last_called_wins(site: Website, visitor: Answer, verbs: tuple[str, ...]) -> None:
    """… of login, logout and clear the last called wins: every triple."""
    _check_the_last_wins(site, visitor, *verbs)


def test_of_two_logins_the_last_called_wins(site: Website, visitor: Answer) -> None:
    """… of login, logout and clear the last called wins: also of the logins of two users."""

    def view(session: Session) -> object:
        session.login("ann")
        session.login("bob")
        return session.logged_in_as

    answer = site.visit(view, visitor.cookie)
    assert answer.value == "bob"
    assert site.visit(who, answer.cookie).value == "bob"
    assert site.look(answer.cookie) == {}


@pytest.mark.parametrize("end", ["logout", "clear"])
def test_a_rotation_before_the_end_does_not_matter(site: Website, visitor: Answer, end: str) -> None:
    """… the last called wins: a session that was to rotate first ends all the same."""
    answer = site.visit(lambda session: (session.rotate(), getattr(session, end)()), visitor.cookie)
    assert answer.cookie is None
    assert site.store.live(site.clock()) == set()


def _handle(session: Session) -> str | None:
    return session.handle


@pytest.mark.parametrize("end", ["logout", "clear"])
def test_what_is_written_after_logout_is_as_after_clear(site: Website, visitor: Answer, end: str) -> None:
    """… what is written after `logout()` is as after `clear()`: it starts a new session with a new token."""
    before = site.visit(_handle, visitor.cookie).value

    def view(session: Session) -> None:
        session["a"] = 1
        getattr(session, end)()
        session["b"] = 2

    answer = site.visit(view, visitor.cookie)
    assert answer.cookie not in (None, visitor.cookie)
    assert site.look(answer.cookie) == {"b": 2}
    assert site.visit(who, answer.cookie).value is None
    assert site.visit(_handle, answer.cookie).value != before
    assert site.look(visitor.cookie) == {}
    assert site.store.live(site.clock()) == {site.key(answer.cookie)}


@pytest.mark.parametrize("end", ["logout", "clear"])
@pytest.mark.parametrize("writers", [1, 50])
def test_an_end_wins_over_every_write(site: Website, visitor: Answer, end: str, writers: int) -> None:
    """`clear()`/`logout()`: … it wins over every write (DESIGN §6, Merging), however many get in between."""
    site.store.before_each("delete", *[lambda: site.visit(keep(late=1), visitor.cookie)] * writers)
    assert site.visit(lambda session: getattr(session, end)(), visitor.cookie).cookie is None
    assert site.look(visitor.cookie) == {}
    assert site.store.live(site.clock()) == set()


# What fails at commit


class Failure(NamedTuple):
    """A commit that fails: how the answer's status says so, what the view does, which verb finds the store down."""

    status: int
    view: View
    down_at: str | None = None

    def arrange(self, site: Website) -> None:
        if self.down_at is not None:
            site.store.before(self.down_at, _be_down)


def _be_down() -> None:
    raise StoreError("the store is down")


def _start_again(session: Session) -> None:
    session.clear()
    session["mine"] = 1


FAILURES = {
    "an unstorable value": Failure(500, keep(mine=object())),
    "an unstorable value at a login": Failure(500, lambda session: (login(session), session.update(mine=object()))),
    "an unstorable value after clear": Failure(500, lambda session: (session.clear(), session.update(mine=object()))),
    "a key that is no str": Failure(500, lambda session: session.update({7: "mine"})),
    "a write": Failure(503, keep(mine=1), "replace"),
    "a login, at its first step": Failure(503, login, "create"),
    "a login, at its last step": Failure(503, login, "delete"),
    "a rotation": Failure(503, lambda session: session.rotate(), "delete"),
    "a logout": Failure(503, logout, "delete"),
    "the login recipe, at its first step": Failure(503, _start_again, "create"),
    "the login recipe, at its last step": Failure(503, _start_again, "delete"),
    "all removed": Failure(503, lambda session: session.pop("cart"), "delete"),
}


@pytest.fixture(params=FAILURES)
def failure(request: pytest.FixtureRequest) -> Failure:
    """Each way in which a commit fails."""
    return FAILURES[request.param]


class Quiet(Website):
    """A website that answers what nobody handles with a plain 500, as in production. ``ran``: by after_request."""

    def __init__(self, store: KeyedStore, clock: Clock) -> None:
        super().__init__(store, clock, PROPAGATE_EXCEPTIONS=False)
        self.ran: list[int] = []
        self.app.after_request(self._count)

    def _count(self, response: Response) -> Response:
        self.ran.append(response.status_code)
        return response

    def fail(self, failure: Failure) -> tuple[Answer, Answer]:
        """Return the answer to somebody with a cart, and that to their next request, whose commit fails."""
        visitor = self.visit(keep(cart=["apple"]))
        failure.arrange(self)
        self.ran.clear()
        return visitor, self.visit(failure.view, visitor.cookie)


@pytest.fixture
def quiet(store: KeyedStore, clock: Clock) -> Quiet:
    return Quiet(store, clock)


def test_what_fails_at_commit_commits_nothing(quiet: Quiet, failure: Failure) -> None:
    """What fails at commit … commits nothing: the session is as it was, and no cookie goes out."""
    visitor, answer = quiet.fail(failure)
    assert (answer.status, answer.set_cookies) == (failure.status, [])
    assert quiet.look(visitor.cookie) == {"cart": ["apple"]}
    assert quiet.visit(who, visitor.cookie).value is None
    assert quiet.visit(logout, visitor.cookie).cookie is None  # and it is not stuck


def test_it_becomes_the_answer_of_the_apps_own_error_handlers(quiet: Quiet, failure: Failure) -> None:
    """… and becomes the app's answer through its own error handlers (in Flask: … copied into the response at hand,
    since an exception out of `save_session` is a plain 500 and runs `after_request` twice)."""
    handled = TypeError if failure.status == 500 else StoreError
    quiet.app.register_error_handler(handled, lambda error: (f"sorry: {type(error).__name__}", 418))
    _, answer = quiet.fail(failure)
    assert answer.status == 418
    assert answer.text == ("sorry: TypeError" if failure.status == 500 else "sorry: SessionUnavailable")
    assert len(quiet.ran) == 1


@in_memory
@pytest.mark.parametrize("name", ["a write", "an unstorable value"])
def test_without_a_handler_after_request_runs_once_too(quiet: Quiet, name: str) -> None:
    """… since an exception out of `save_session` is a plain 500 and runs `after_request` twice: ours is not one."""
    _, answer = quiet.fail(FAILURES[name])
    assert answer.status == FAILURES[name].status
    assert len(quiet.ran) == 1


@in_memory
@pytest.mark.parametrize("code", [503, HTTPException])
def test_handlers_of_http_errors_see_a_store_that_is_down(quiet: Quiet, code: Any) -> None:
    """… (a store that is down: 503) … becomes the app's answer through its own error handlers: `errorhandler(503)`."""
    quiet.app.register_error_handler(code, lambda error: (f"sorry: {error.code}", error.code))
    _, answer = quiet.fail(FAILURES["a write"])
    assert (answer.status, answer.text) == (503, "sorry: 503")


@in_memory
def test_nothing_of_the_views_own_answer_goes_out(quiet: Quiet) -> None:
    """… becomes the app's answer: nothing of the view's own goes out with it, neither its body nor its cookies."""

    @quiet.app.route("/page")
    def page() -> Response:
        session["mine"] = object()
        response = make_response("the view's own", 201)
        response.set_cookie("theme", "dark")
        response.headers["Location"] = "/elsewhere"
        return response

    response = quiet.app.test_client().get("/page")
    assert response.status_code == 500
    assert "the view's own" not in response.text
    assert response.headers.getlist("Set-Cookie") == []
    assert "Location" not in response.headers
    assert response.content_length == len(response.data)


def _take(session: Session) -> None:
    session.atomic(lambda s: s["cart"].pop())


def _sell_out_meanwhile(quiet: Quiet) -> Answer:
    """Let two requests take the last item at once, by a function; return the answer to the second one."""
    visitor = quiet.visit(keep(cart=["apple"], n=0))
    quiet.store.before("replace", lambda: quiet.visit(_take, visitor.cookie))
    quiet.ran.clear()
    answer = quiet.visit(lambda session: (session.update(mine=1), _take(session)), visitor.cookie)
    assert len(quiet.ran) == 2  # once for each of the two
    assert quiet.look(visitor.cookie) == {"cart": [], "n": 0}
    return answer


def test_what_a_replayed_function_raises_is_the_apps_to_handle(quiet: Quiet) -> None:
    """What fails at commit … commits nothing and becomes the app's answer through its own error handlers: also what an
    `atomic` function raises at its second run, when another request has taken the last item."""
    quiet.app.register_error_handler(IndexError, lambda error: ("sold out", 409))
    answer = _sell_out_meanwhile(quiet)
    assert (answer.status, answer.text) == (409, "sold out")


@in_memory
def test_what_a_replayed_function_raises_is_a_500_where_nobody_handles_it(quiet: Quiet) -> None:
    """… and runs `after_request` twice: not so for what an `atomic` function raises and nobody handles."""
    assert _sell_out_meanwhile(quiet).status == 500
