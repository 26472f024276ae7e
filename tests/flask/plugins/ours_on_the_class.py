"""A pytest plugin: one interface of ours serves every Flask application, as ``Flask.session_interface``."""

from __future__ import annotations

import flask

from coatcheck.flask import SessionInterface

flask.Flask.session_interface = SessionInterface()
