"""Section 4 (完整代码) of the tutorial 状态保持, and after it the parameters that section 2.2.1 lists."""

from datetime import UTC, datetime, timedelta

from flask import current_app, make_response, request, session
from markupsafe import escape
from status import bp_status
from werkzeug.datastructures import ImmutableMultiDict


@bp_status.route("/cookie/set")
def set_cookie():
    response = make_response("<h1>set cookie!</h1>")
    response.set_cookie("test1", "123", max_age=20)
    return response


@bp_status.route("/cookie/get")
def get_cookie():
    print(request.cookies.get("test1"))
    # The tutorial returns str(request.cookies): as HTML, so that a cookie can hold a script, and with the session
    # token in it, which is as good as a password and belongs on no page.
    token = current_app.config["SESSION_COOKIE_NAME"]
    return escape(str(ImmutableMultiDict(pair for pair in request.cookies.items(multi=True) if pair[0] != token)))


@bp_status.route("/cookie/del")
def del_cookie():
    response = make_response("<h1>del cookie!</h1>")
    response.delete_cookie("test1")
    return response


@bp_status.route("/session/set")
def set_session():
    current_app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=20)
    session["test2"] = "234"
    # The same setting by its other name: ten seconds count, for every visitor of this process and from now on.
    current_app.permanent_session_lifetime = timedelta(seconds=10)
    # The tutorial says this renews the session on each request (SESSION_REFRESH_EACH_REQUEST is what does). It says
    # whether the session outlives the browser: False, so the cookie goes when the browser closes.
    session.permanent = False
    return "<h1> set session </h1>"


@bp_status.route("/session/get")
def get_session():
    return str(session.get("test2"))


@bp_status.route("/session/del")
def del_session():
    # Section 3.2.3 has pop without a default, a KeyError where nothing is; clear() alone would do.
    session.pop("test2", None)
    session.clear()
    return "<h1> del session </h1>"


# Below here: what the tutorial explains and shows no view for.


@bp_status.route("/cookie/parameters")
def set_cookie_parameters():
    response = make_response("<h1>set cookie!</h1>")
    response.set_cookie("max_age", "123", max_age=20)
    # The tutorial says to add eight hours: needed only where a datetime without a zone is taken for Beijing's time.
    response.set_cookie("expires", "123", expires=datetime.now(UTC) + timedelta(seconds=20))
    response.set_cookie("path", "123", path="/cookie")
    # Kept only by a browser that came to example.com or a name below it.
    response.set_cookie("domain", "123", domain="example.com")
    # Kept only if it came by https.
    response.set_cookie("secure", "123", secure=True)
    response.set_cookie("httponly", "123", httponly=True)
    response.set_cookie("samesite", "123", samesite="Strict")
    return response


@bp_status.route("/cookie/parameters/del")
def del_cookie_parameters():
    response = make_response("<h1>del cookie!</h1>")
    # Path and domain are part of a cookie's identity: without them these would delete nothing.
    response.delete_cookie("path", path="/cookie")
    response.delete_cookie("domain", domain="example.com")
    return response


@bp_status.route("/session/permanent")
def set_permanent_session():
    session["test2"] = "234"
    session.permanent = True
    return "<h1> set session </h1>"
