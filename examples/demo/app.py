"""The demo's Flask app: what a visitor can do to cookies and to the session, one view for each.

Every change is a POST that answers with a redirect, and :mod:`examples.demo.exchanges` remembers what travelled.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from pprint import pformat
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, abort, current_app, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from coatcheck.cookies import cookie_values
from coatcheck.flask import Session, session
from examples.demo import forms, words
from examples.demo.counter import look_behind
from examples.demo.exchanges import Exchanges, Note

INSTANCE = Path(__file__).resolve().parents[2] / "instance"

#: What the login form offers: how long a login is remembered. None: until the browser is closed.
REMEMBER = {"": None, "minute": timedelta(minutes=1), "day": timedelta(days=1), "month": timedelta(days=30)}

#: What of a cookie's attributes a deletion repeats: other ones, and the browser would not know which cookie is meant.
DELETING = ("key", "path", "domain", "secure", "httponly", "samesite", "partitioned")

site = Blueprint("site", __name__)


def create_app(instance_path: str | os.PathLike[str] | None = None, clock: Callable[[], float] = time.time) -> Flask:
    """Make the demo. Its sessions and its secret key live in ``instance_path`` and survive a restart.

    :param instance_path: a folder; by default ``instance/`` in the checkout.
    :param clock: returns the time in seconds since 1970.
    """
    folder = Path(instance_path or INSTANCE).resolve()
    app = Flask(__name__, instance_path=str(folder))
    app.config.update(
        SECRET_KEY=secret_key(folder),
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=64 * 1024,
    )
    Session(app, clock=clock)
    app.register_blueprint(site)
    app.register_error_handler(HTTPException, explain)
    app.register_error_handler(forms.FormError, ask_again)
    app.jinja_env.filters.update(utc=words.utc, duration=words.duration, attributes=words.attributes)
    exchanges = Exchanges(app.wsgi_app, {app.config["SESSION_COOKIE_NAME"]}, clock)
    app.extensions["exchanges"] = exchanges
    app.wsgi_app = exchanges  # type: ignore[method-assign]
    return app


def secret_key(folder: Path) -> str:
    """Return the key kept in ``folder``, made at the first start: another key would log everybody out."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret_key"
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return file.read_text()


@site.before_app_request
def refuse_other_sites() -> None:
    """Refuse a form that another site sent (CSRF). SameSite=Lax keeps our cookie out of it too: two locks.

    Sec-Fetch-Site and Origin are set by the browser and out of a page's reach. Who sends neither is no browser,
    and carries nobody's cookies but its own.
    """
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    if fetch_site := request.headers.get("Sec-Fetch-Site"):
        ours = fetch_site in {"same-origin", "none"}  # "none": typed or reloaded by the visitor
    else:
        ours = request.headers.get("Origin") in {None, request.host_url.rstrip("/")}
    if not ours:
        abort(403, "This form was sent by another site. Open the demo itself and try there.")


@site.after_app_request
def add_security_headers(response: Response) -> Response:
    """Allow the page its own style and script, and nothing and nobody else; keep no copy of what one visitor saw."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"  # "no-referrer" would make our own forms say Origin: null
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


@site.get("/")
def page() -> str:
    """Show everything. Looking changes nothing: this view only reads."""
    return show({"cookies": cookie_to_change(request.args.get("change"))})


def show(fields: dict[str, dict[str, str]], problem: forms.FormError | None = None) -> str:
    """Render the page; ``fields`` fill the forms of its sections."""
    exchanges = current_app.extensions["exchanges"]
    manager = current_app.extensions["coatcheck"]
    past = exchanges.of(request.environ)
    session_cookie = current_app.config["SESSION_COOKIE_NAME"]
    return render_template(
        "page.html",
        fields=fields,
        problem=problem,
        note=past[0].note if past and not problem else None,
        exchanges=past[:6],
        opened=next((exchange for exchange in past[:6] if exchange.set_cookies), None),
        sent=exchanges.cookies_sent(request.environ),
        cookie_header=request.headers.get("Cookie"),
        last_set_cookie=lambda name: exchanges.last_set_cookie(request.environ, name),
        session_cookie=session_cookie,
        values={key: value for key, value in session.items() if not key.startswith("_")},
        user=repr(session.logged_in_as),
        as_python=pformat(dict(session), width=40, sort_dicts=False),
        kept=look_behind(current_app, session, cookie_values(request.headers.get("Cookie", ""), session_cookie)),
        now=manager.clock(),
        limits=forms,
    )


def cookie_to_change(name: str | None) -> dict[str, str]:
    """Return the cookie form's fields for a cookie, as far as we know them: a browser sends only name and value."""
    try:
        value = request.cookies.get(name or "")
    except UnicodeDecodeError:  # werkzeug's, for a Cookie header that is not UTF-8; we did not send that
        value = None
    if name is None or value is None:
        return {}
    last = current_app.extensions["exchanges"].last_set_cookie(request.environ, name)
    return {"name": name, "value": value, **(forms.typed_attributes(last.attributes) if last else {})}


def ask_again(problem: forms.FormError) -> tuple[str, int]:
    """Show the page again, with what was typed and what is wrong with it."""
    return show({problem.section: request.form.to_dict()}, problem), 400


def explain(error: HTTPException) -> tuple[str, int]:
    """Show any other refusal as a page of its own; the session is left alone."""
    return render_template("refused.html", error=error), error.code or 500


def done(section: str, sentence: str, code: str) -> Response:
    """Lead back to the page, which will show what was done and by which line of code."""
    request.environ["demo.note"] = Note(section, sentence, code)
    return redirect(url_for("site.page", _anchor=section), 303)


@site.post("/login")
def login() -> Response:
    name = forms.name_to_login(request.form)
    remember = REMEMBER.get(request.form.get("remember", ""))
    session.login(name, remember=remember)
    if remember is None and session.permanent:
        session.permanent = False
    code = f"session.login({name!r})" if remember is None else f"session.login({name!r}, remember={remember!r})"
    return done("you", f"You are {name} now, under a new token. The old one, if you had one, is dead.", code)


@site.post("/logout")
def logout() -> Response:
    session.logout()
    sentence = "Logged out. The record is gone from the store: whoever replays the old cookie is nobody."
    return done("you", sentence, "session.logout()")


@site.post("/rotate")
def rotate() -> Response:
    session.rotate()
    sentence = "The same session under a new token, the old one is dead. The handle stayed, the store key changed."
    return done("you", sentence, "session.rotate()")


@site.post("/session/permanent")
def make_permanent() -> Response:
    session.permanent = request.form.get("permanent") == "yes"
    kept = "is kept when the browser closes" if session.permanent else "goes when the browser closes"
    return done("you", f"The cookie now {kept}: look at its Max-Age.", f"session.permanent = {session.permanent}")


@site.post("/session/set")
def set_value() -> Response:
    key, value = forms.session_key(request.form), forms.session_value(request.form)
    if len(session) >= forms.KEYS and key not in session:
        raise forms.FormError("session", "key", f"The demo keeps {forms.KEYS} keys at most; delete one first.")
    session[key] = value
    return done("session", f"“{key}” is saved.", f"session[{key!r}] = {value!r}")


@site.post("/session/append")
def append_item() -> Response:
    key, item = forms.session_key(request.form), forms.short_text(request.form, "item").strip()
    if not isinstance(session.get(key), list):
        raise forms.FormError("session", "key", f"There is no list called “{key}” in your session; make one below.")
    if not item or len(session[key]) >= forms.ITEMS:
        raise forms.FormError("session", "item", f"Write what to append; the demo keeps {forms.ITEMS} items at most.")
    session[key].append(item)
    return done("session", "A change inside a list is saved, too.", f"session[{key!r}].append({item!r})")


@site.post("/session/delete")
def delete_value() -> Response:
    key = forms.session_key(request.form)
    session.pop(key, None)
    return done("session", f"“{key}” is gone.", f"session.pop({key!r}, None)")


@site.post("/cookies/set")
def set_cookie() -> Response:
    arguments = forms.cookie(request.form, host())
    sentence = f"We asked your browser to keep “{arguments['key']}”."
    response = done("cookies", sentence, as_call("set_cookie", arguments))
    response.set_cookie(**arguments)
    return response


@site.post("/cookies/delete")
def delete_cookie() -> Response:
    arguments = forms.cookie(request.form, host())
    arguments = {name: arguments[name] for name in DELETING}
    sentence = f"We asked your browser to drop “{arguments['key']}”."
    response = done("cookies", sentence, as_call("delete_cookie", arguments))
    response.delete_cookie(**arguments)
    return response


def host() -> str:
    """Return the host name by which this page was opened, without the port."""
    return urlsplit(request.host_url).hostname or ""


def as_call(method: str, arguments: dict[str, Any]) -> str:
    """Return the call as one would write it, without what is left at its default."""
    defaults = (None, False, "")
    given = {key: value for key, value in arguments.items() if value not in defaults and (key, value) != ("path", "/")}
    first = repr(given.pop("key"))
    return f"response.{method}({', '.join([first, *(f'{key}={value!r}' for key, value in given.items())])})"
