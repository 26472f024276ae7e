"""What a visitor typed, checked: each function returns what the app needs or raises a :class:`FormError`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.http import parse_date

#: A cookie's name is a token (RFC 6265 §4.1.1, RFC 9110 §5.6.2).
COOKIE_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
#: Browsers refuse a cookie whose name and value are longer together, in bytes (RFC 6265bis §5.6).
COOKIE_BYTES = 4096
#: Browsers keep no cookie longer, in seconds: 400 days (RFC 6265bis §5.5).
COOKIE_SECONDS = 400 * 24 * 60 * 60
#: The demo's own limits: a page one can still read.
KEYS, ITEMS, CHARACTERS = 20, 30, 500


class FormError(Exception):
    """Something typed cannot work: the form's section, the field, and a sentence that says what to write instead."""

    def __init__(self, section: str, field: str, sentence: str):
        super().__init__(sentence)
        self.section, self.field, self.sentence = section, field, sentence


def name_to_login(form: Mapping[str, str]) -> str:
    """Return the name to log in with."""
    name = form.get("name", "").strip()
    if not 0 < len(name) <= 50:
        raise FormError("you", "name", "Write a name of 1 to 50 characters; any will do, there is no password.")
    return name


def session_key(form: Mapping[str, str]) -> str:
    """Return the key of a session value."""
    key = form.get("key", "").strip()
    if not 0 < len(key) <= 50 or key.startswith("_"):
        raise FormError("session", "key", "Write a key of 1 to 50 characters that does not begin with an underscore.")
    return key


def session_value(form: Mapping[str, str]) -> str | int | float | list[str]:
    """Return the value, of the type that was chosen: text, a number, or a list given as ``a, b, c``."""
    text = short_text(form, "value")
    match form.get("type"):
        case "number":
            return number(text)
        case "list":
            return [item.strip() for item in text.split(",") if item.strip()][:ITEMS]
        case _:
            return text


def short_text(form: Mapping[str, str], field: str) -> str:
    """Return a field of the session's forms, if it is short enough."""
    text = form.get(field, "")
    if len(text) > CHARACTERS:
        raise FormError("session", field, f"That is {len(text)} characters; the demo takes {CHARACTERS} at most.")
    return text


def number(text: str) -> int | float:
    """Return ``text`` as an int or a float that is neither infinite nor nan."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if abs(value) < 2**63:  # false for nan, too
            return value
    raise FormError("session", "value", f"“{text}” is not a number; write one like 42 or 3.5, or choose “text”.")


def cookie(form: Mapping[str, str], host: str) -> dict[str, Any]:
    """Return the arguments of Flask's ``response.set_cookie``; ``host`` is the one this page was opened by."""
    arguments: dict[str, Any] = {
        "key": form.get("name", "").strip(),
        "value": form.get("value", ""),
        "max_age": max_age(form.get("max_age", "").strip()),
        "expires": expires(form.get("expires", "").strip()),
        "domain": domain(form.get("domain", "").strip(), host),
        "path": path(form.get("path", "/").strip()),
        "samesite": samesite(form.get("samesite", "")),
        "secure": "secure" in form,
        "httponly": "httponly" in form,
        "partitioned": "partitioned" in form,
    }
    check_name(arguments["key"], arguments["value"])
    check_combination(arguments)
    return arguments


def check_name(name: str, value: str) -> None:
    """Refuse a name that is no token, and what browsers find too long."""
    if not COOKIE_NAME.fullmatch(name):
        raise FormError("cookies", "name", f"“{name}” is not a cookie name: use letters, digits, - and _.")
    if len(name) + len(value.encode()) > COOKIE_BYTES:
        raise FormError("cookies", "value", f"Browsers drop a cookie of over {COOKIE_BYTES} bytes.")


def check_combination(cookie: dict[str, Any]) -> None:
    """Refuse what each for itself is right and together makes browsers drop the cookie (RFC 6265bis §5.7, CHIPS)."""
    name = cookie["key"].lower()
    if cookie["samesite"] == "None" and not cookie["secure"]:
        raise FormError("cookies", "secure", "SameSite=None needs Secure: tick it, or choose Lax.")
    if cookie["partitioned"] and not cookie["secure"]:
        raise FormError("cookies", "secure", "Partitioned needs Secure: tick it too.")
    if name.startswith(("__secure-", "__host-")) and not cookie["secure"]:
        raise FormError("cookies", "secure", "A name that begins with __Secure- or __Host- needs Secure: tick it too.")
    if name.startswith("__host-") and (cookie["path"] != "/" or cookie["domain"]):
        raise FormError("cookies", "path", "A name that begins with __Host- needs the path / and no domain.")


def max_age(text: str) -> int | None:
    """Return Max-Age in seconds, or None for none."""
    if not text:
        return None
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII) or int(text) > COOKIE_SECONDS:
        sentence = f"“{text}” is not a Max-Age: write whole seconds, at most {COOKIE_SECONDS} (400 days)."
        raise FormError("cookies", "max_age", sentence)
    return int(text)


def expires(text: str) -> datetime | None:
    """Return the date, read as UTC, or None for none."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise FormError("cookies", "expires", f"“{text}” is not a date; write one like 2030-12-31T23:59.") from None


def domain(text: str, host: str) -> str | None:
    """Return the domain, or None for none. A browser takes only the host's own name or one above it."""
    name = text.lower().removeprefix(".")
    if not name:
        return None
    is_address = host.replace(".", "").isdecimal() or ":" in host
    if name != host and (is_address or not host.endswith(f".{name}")):
        sentence = f"This page is at {host}: a browser drops a cookie for “{text}” from here. Leave it empty."
        raise FormError("cookies", "domain", sentence)
    return name


def path(text: str) -> str:
    """Return the path."""
    if not re.fullmatch(r"/[ -:<-~]{0,200}", text):
        raise FormError("cookies", "path", f"“{text}” is not a path: begin with /, use plain letters, no semicolon.")
    return text


def samesite(text: str) -> str | None:
    """Return the SameSite value, or None for none."""
    if text not in {"", "Lax", "Strict", "None"}:
        raise FormError("cookies", "samesite", f"SameSite cannot be “{text}”: choose Lax, Strict or None.")
    return text or None


def typed_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the form's fields for a Set-Cookie's attributes: what one would type to send the same again."""
    fields = {name.replace("-", "_"): value for name, value in attributes.items()}
    date = parse_date(fields.pop("expires", None))
    if date and "max_age" not in fields:  # werkzeug writes an Expires beside each Max-Age
        fields["expires"] = date.strftime("%Y-%m-%dT%H:%M:%S")
    return fields
