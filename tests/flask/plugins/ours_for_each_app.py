"""A pytest plugin: every Flask application is given ``Session(app)`` as it is made, before it has any setting."""

from __future__ import annotations

from typing import Any

import flask

from coatcheck.flask import Session

_init = flask.Flask.__init__


def _init_with_ours(self: flask.Flask, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    if type(self).session_interface is flask.Flask.session_interface:  # a subclass may bring its own
        Session(self)


flask.Flask.__init__ = _init_with_ours  # type: ignore[method-assign]
