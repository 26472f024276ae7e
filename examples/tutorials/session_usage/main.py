"""The tutorial Flask之session使用: the secret key in its two ways; a session set, read, deleted and cleared.

The tutorial has one app for each view, each with a random key of its own: none could read what another had set.
"""

import os

import config
from flask import Flask, session

from coatcheck.flask import Session

app = Flask(__name__)
# 4.3.2, way one. The tutorial imports config and stops there; this line is what loads it.
app.config.from_object(config)
# 4.3.3, way two. The last setting counts, and from here on the tutorial uses this one: new at each start, so that
# nobody is remembered across a restart. What it also shows (or = 'XXXXX' 或者 os.urandom(24)) works the same:
#     app.config["SECRET_KEY"] = "XXXXX"
#     app.secret_key = "why would I tell you my secret key?"
app.config["SECRET_KEY"] = os.urandom(24)
Session(app)


# 设置session
@app.route("/")
def set():
    session["username"] = "liefyuan"
    return "success"


# 读取session
@app.route("/get")
def get():
    # The tutorial returns session.get('username') itself: None where nothing is, which Flask refuses with status 500.
    return str(session.get("username"))


@app.route("/get/key")
def get_key():
    # The other way of 4.4.2: a KeyError where nothing is.
    try:
        result = session["username"]
    except KeyError:
        result = None
    return str(result)


# 删除session
@app.route("/delete/")
def delete():
    # Python 2's print, without brackets, in the tutorial.
    print(session.get("username"))
    session.pop("username", None)
    print(session.get("username"))
    return "success"


@app.route("/delete/false/")
def delete_by_false():
    # The tutorial's "或者": it deletes nothing. The key stays, with the value False.
    session["username"] = False
    return "success"


# 清除session中所有数据
@app.route("/clear")
def clear():
    print(session.get("username"))
    # The tutorial writes session.clear without its brackets, and so clears nothing.
    session.clear()
    print(session.get("username"))
    return "success"


if __name__ == "__main__":
    app.run()
