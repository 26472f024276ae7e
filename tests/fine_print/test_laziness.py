"""DESIGN §6, "Laziness", as far as Flask goes."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator

import pytest
from flask import Response, stream_with_context
from werkzeug.test import TestResponse

from coatcheck.flask import session as proxy
from coatcheck.session import Session
from tests.fine_print.website import Answer, View, Website, keep


@pytest.fixture
def visitor(site: Website) -> Answer:
    return site.visit(keep(a=1, cart=["apple"]))


def respond(site: Website, cookie: str | None, view: Callable[[], object]) -> TestResponse:
    """Send one request, answered by what ``view`` returns, read its body to the end, and return the response."""
    site.app.view_functions["_view"] = view  # type: ignore[assignment]
    client = site.app.test_client(use_cookies=False)
    response = client.get("/", headers={"Cookie": f"session={cookie}"})
    response.get_data()
    response.close()
    return response


ACCESSES: dict[str, View] = {
    "getitem": lambda s: s["a"],
    "get": lambda s: s.get("a"),
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "iter": list,
    "items": lambda s: s.items(),
    "keys": lambda s: s.keys(),
    "copy": lambda s: s.copy(),
    "==": lambda s: s == {},
    "|": lambda s: operator.or_(s, {}),
    "repr": repr,
    "permanent": lambda s: s.permanent,
    "new": lambda s: s.new,
    "modified": lambda s: s.modified,
    "accessed": lambda s: s.accessed,
    "logged_in_as": lambda s: s.logged_in_as,
    "handle": lambda s: s.handle,
    "expires_at": lambda s: s.expires_at,
    "rotate, not called": lambda s: s.rotate,
}


@pytest.mark.parametrize("name", ACCESSES)
def test_loaded_at_first_access(site: Website, visitor: Answer, name: str) -> None:
    """Flask: loaded at first access, of whatever kind (CVE-2026-27205), and not before; and once."""
    calls: list[list[str]] = []

    def view(session: Session) -> None:
        before = len(site.store.calls)
        for access in (lambda s: None, ACCESSES[name], ACCESSES[name], dict):
            access(session)
            calls.append(site.store.calls[before:])

    site.visit(view, visitor.cookie)
    assert calls == [[], ["read"], ["read"], ["read"]]


def test_not_loaded_without_access(site: Website, visitor: Answer) -> None:
    """… loaded at first access: where nothing accesses it, never."""
    assert site.calls(lambda session: None, visitor.cookie) == []


def test_a_second_open_session_loads_at_once(site: Website) -> None:
    """A second `open_session` for one request (the test client's `session_transaction`) loads at once."""
    client = site.app.test_client()
    with client.session_transaction() as opened:
        opened["a"] = 1
    site.store.calls.clear()
    with client.session_transaction() as opened:
        assert site.store.calls == ["read"]
        assert dict(opened) == {"a": 1}  # outside of any context, where no proxy says that it is accessed
        opened["a"] = 2
    assert site.store.calls == ["read", "replace"]
    with client.session_transaction() as opened:
        assert opened["a"] == 2


@pytest.mark.parametrize(
    "assign",
    [keep(a=1), lambda s: s.__setitem__("a", 1), lambda s: s.update({}), lambda s: setattr(s, "modified", True)],
)
def test_an_equal_value_sends_the_cookie_and_writes_nothing(site: Website, visitor: Answer, assign: View) -> None:
    """Assigning sets `modified` and sends the cookie even if the value is equal; only a changed encoding is written."""
    modified: list[bool] = []
    before = len(site.store.calls)
    answer = site.visit(lambda session: (assign(session), modified.append(session.modified)), visitor.cookie)
    assert modified == [True]
    assert len(answer.set_cookies) == 1
    assert answer.cookie == visitor.cookie
    assert site.store.calls[before:] == ["read"]


@pytest.mark.parametrize("value", [1.0, True])
def test_an_equal_number_of_another_type_is_written(site: Website, visitor: Answer, value: object) -> None:
    """… only a changed encoding is written: 1.0 and True are equal to 1 in Python, and encoded differently."""
    assert site.calls(keep(a=value), visitor.cookie) == ["read", "replace"]
    assert type(site.look(visitor.cookie)["a"]) is type(value)


def test_changed_back_is_unchanged(site: Website, visitor: Answer) -> None:
    """… only a changed encoding is written: what is changed and changed back is not."""
    assert site.calls(lambda s: (s["cart"].append("pear"), s["cart"].pop()), visitor.cookie) == ["read"]


@pytest.mark.parametrize("change", [keep(a=2), lambda s: s["cart"].append("pear"), lambda s: s.pop("a")])
def test_modified_false_never_suppresses_a_write(site: Website, visitor: Answer, change: View) -> None:
    """`modified = False` never suppresses a write."""
    answer = site.visit(lambda session: (change(session), setattr(session, "modified", False)), visitor.cookie)
    assert answer.set_cookies == []  # as in Flask: the browser has its cookie already
    assert site.look(visitor.cookie) != {"a": 1, "cart": ["apple"]}


def test_modified_false_on_a_new_session(site: Website) -> None:
    """`modified = False` never suppresses a write, nor the cookie of a new session, which nobody could find without."""
    answer = site.visit(lambda session: (session.update(a=1), setattr(session, "modified", False)))
    assert site.look(answer.cookie) == {"a": 1}


def parts(use: Callable[[], object]) -> Iterator[str]:
    yield "one, "
    use()
    yield "two"


STREAMS: dict[str, Callable[[], object]] = {
    "leaves it alone": lambda: None,
    "reads": lambda: dict(proxy),
    "writes": lambda: proxy.update(late="1 of the values"),
}


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_streamed_responses_vary(site: Website, visitor: Answer, name: str, read_before: bool) -> None:
    """Streamed responses carry `Vary: Cookie`: what their generator will read is not known when the headers go out."""

    def view() -> Response:
        if read_before:
            dict(proxy)
        return Response(stream_with_context(parts(STREAMS[name])))

    response = respond(site, visitor.cookie, view)
    assert (response.text, response.headers.getlist("Vary")) == ("one, two", ["Cookie"])


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_a_late_change_is_logged_with_its_keys(
    site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture, name: str, read_before: bool
) -> None:
    """A streamed response cannot save: a change after the commit is logged with its keys, and not with its values."""

    def view() -> Response:
        if read_before:
            proxy["early"] = 1
        return Response(stream_with_context(parts(STREAMS[name])))

    respond(site, visitor.cookie, view)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    if name == "writes":
        (warning,) = warnings
        assert "after the response had begun are lost; keys: late" in warning
        assert "early" not in warning
        assert "1 of the values" not in warning
    else:
        assert warnings == []


def test_a_late_change_is_not_saved(site: Website, visitor: Answer) -> None:
    """A streamed response cannot save: what its generator writes is not in the store, what the view wrote is."""

    def view() -> Response:
        proxy["early"] = 1
        return Response(stream_with_context(parts(lambda: proxy.update(late=1))))

    respond(site, visitor.cookie, view)
    site.app.view_functions["_view"] = Website(site.store, site.clock).app.view_functions["_view"]
    assert site.look(visitor.cookie) == {"a": 1, "cart": ["apple"], "early": 1}


def test_a_late_nested_change_is_logged(site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """… a change after the commit is logged with its keys: one inside a list too (law 6)."""
    respond(
        site, visitor.cookie, lambda: Response(stream_with_context(parts(lambda: proxy["cart"].append("late pear"))))
    )
    assert "keys: cart" in caplog.text
    assert "late pear" not in caplog.text
