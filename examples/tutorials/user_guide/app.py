"""The tutorial flask使用操作指南之session/cookie: a cookie, and a login form that keeps the name in the session."""

from flask import Blueprint, Flask, make_response, redirect, render_template, request, session, url_for

from coatcheck.flask import Session

blue = Blueprint("first", __name__)


@blue.route("/setcookie/")
def set_cookie():
    temp = render_template("index.html")
    response = make_response(temp)
    response.set_cookie("name", "cocoococo")
    return response


@blue.route("/setcookie/max_age/")
def set_cookie_max_age():
    response = make_response(render_template("index.html"))
    # The tutorial writes max_ages='': the argument is max_age, a number of seconds.
    response.set_cookie("name", "cocoococo", max_age=60)
    return response


@blue.route("/delcookie/")
def del_cookie():
    response = make_response(render_template("index.html"))
    # The tutorial writes del_cookie: the method is called delete_cookie.
    response.delete_cookie("name")
    return response


@blue.route("/login/", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        username = session.get("username")
        return render_template("login.html", username=username)
    else:
        username = request.form.get("username")
        session["username"] = username

        return redirect(url_for("first.login"))


def create_app():
    app = Flask(__name__)
    # SECRET_KEY 秘钥
    app.config["SECRET_KEY"] = "secret_key"
    # The tutorial keeps its sessions in Redis: app.config["SESSION_TYPE"] = "redis". coatcheck has no Redis store yet;
    # without this line it is SQLite, a file sessions.db in the instance folder.
    # 添加前缀: of the keys in the store, that is; those in the session stay as they are.
    app.config["SESSION_KEY_PREFIX"] = "flask"

    # 加载app的第一种方式
    se = Session()
    se.init_app(app=app)
    # 加载app的第二种方式. One of the two is enough; with equal settings the second does nothing.
    Session(app=app)
    app.register_blueprint(blueprint=blue)

    return app
