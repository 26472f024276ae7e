"""The tutorial Flask教程(六)Cookie和Session: one cookie, one session value and the page that shows it."""

from flask import Flask, make_response, redirect, render_template, session, url_for

from coatcheck.flask import Session

app = Flask(__name__)
app.secret_key = "test"
Session(app)


@app.route("/cookie", methods=["GET"])
def cookie():
    resp = make_response("<html><body>Cookie</body></html>")
    resp.set_cookie("name", "waws")
    return resp


@app.route("/session", methods=["GET"])
def sess():
    resp = make_response("<html><body>Session.<a href='/getValue'>Get Value</a></body></html>")
    session["name"] = "waws"
    return resp


@app.route("/getValue")
def getValue():  # noqa: N802  (the tutorial's name)
    if "name" in session:
        name = session["name"]
        return render_template("getvalue.html", name=name)
    # The tutorial ends here: a view that returns nothing, status 500, for whoever was not at /session before.
    return redirect(url_for("sess"))


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=5000, debug=True)
