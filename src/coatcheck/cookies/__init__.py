"""Cookie header in, Set-Cookie out, by the letter of RFC 6265bis (approved draft -22)."""

from __future__ import annotations

from .reader import cookie_values
from .writer import SetCookie

__all__ = ["SetCookie", "cookie_values"]
