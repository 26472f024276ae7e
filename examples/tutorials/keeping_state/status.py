"""The blueprint that the tutorial's views import."""

from flask import Blueprint

bp_status = Blueprint("status", __name__)
