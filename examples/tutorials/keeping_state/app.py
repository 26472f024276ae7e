"""The tutorial 状态保持: the app that its blueprint is part of, with the settings of section 3.2.1."""

from datetime import timedelta

import views
from flask import Flask

from coatcheck.flask import Session

app = Flask(__name__)
app.config["SECRET_KEY"] = "xxx"
app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=20)
Session(app)
app.register_blueprint(views.bp_status)
