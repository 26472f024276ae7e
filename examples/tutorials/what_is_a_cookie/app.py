"""The tutorial that begins 什么是cookie (知了课堂): cookies and sessions, every line of code it shows.

Only `/` is a whole view in the tutorial; its other lines stand in prose, and here each has a view of its own.
"""

import os
from datetime import UTC, datetime, timedelta

from flask import Flask, Response, request, session

from coatcheck.flask import Session

app = Flask(__name__)
# The tutorial sets no key, and without one there is no session. This one is new at each start: all are forgotten then.
app.config["SECRET_KEY"] = os.urandom(24)
# The tutorial writes timedelta(hour=2), which is a TypeError: the argument is called hours.
app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(hours=2)
Session(app)


@app.route("/")
def hello_world():
    resp = Response("知了课堂")
    resp.set_cookie("username", "zhiliao")
    return resp


@app.route("/max_age/")
def max_age():
    resp = Response("知了课堂")
    resp.set_cookie("username", "zhiliao", max_age=60)
    return resp


@app.route("/expires/")
def expires():
    resp = Response("知了课堂")
    # The tutorial writes datetime.now() + timedelta(days=30, hours=16): 31 days less Beijing's eight hours. That is
    # right in Beijing only, because a datetime without a zone counts as UTC. One that names UTC is right everywhere.
    expires = datetime.now(UTC) + timedelta(days=31)
    resp.set_cookie("username", "zhiliao", expires=expires)
    return resp


@app.route("/expires/2017/")
def expires_2017():
    resp = Response("知了课堂")
    # The tutorial's first date. It has passed: a browser drops the cookie, and any older one of that name with it.
    expires = datetime(year=2017, month=12, day=11, hour=16, minute=0, second=0, tzinfo=UTC)
    resp.set_cookie("username", "zhiliao", expires=expires)
    return resp


@app.route("/both/")
def both():
    resp = Response("知了课堂")
    expires = datetime.now(UTC) + timedelta(days=31)
    resp.set_cookie("username", "zhiliao", expires=expires, max_age=60)
    return resp


@app.route("/domain/")
def domain():
    resp = Response("知了课堂")
    # A browser keeps this only if it came to reidwang.com or a name below it.
    resp.set_cookie("username", "zhiliao", domain=".reidwang.com")
    return resp


@app.route("/get/")
def get():
    return Response(str(request.cookies.get("username")), mimetype="text/plain")


@app.route("/delete/")
def delete():
    resp = Response("知了课堂")
    resp.delete_cookie("username")
    return resp


@app.route("/delete/domain/")
def delete_domain():
    resp = Response("知了课堂")
    # The tutorial names only the key. A cookie set with a domain or a path is deleted only by the same domain and path.
    resp.delete_cookie("username", domain=".reidwang.com")
    return resp


@app.route("/session/set/")
def set_session():
    session["username"] = "zhiliao"
    return "知了课堂"


@app.route("/session/permanent/")
def set_permanent_session():
    session["username"] = "zhiliao"
    session.permanent = True
    return "知了课堂"


@app.route("/session/get/")
def get_session():
    # A view may not return None, and session.get() gives None where nothing is.
    return str(session.get("username"))


@app.route("/session/pop/")
def pop_session():
    # The tutorial writes session.pop(key): a KeyError, and so a page with status 500, where nothing is.
    session.pop("username", None)
    return "知了课堂"


@app.route("/session/del/")
def del_session():
    if "username" in session:
        del session["username"]
    return "知了课堂"


@app.route("/session/clear/")
def clear_session():
    session.clear()
    return "知了课堂"
