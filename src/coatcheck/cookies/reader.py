"""Reads our cookie from the Cookie header.

The frameworks' parsers disagree about duplicates (Werkzeug takes the first, Starlette and Django the last) and undo
quoting (``"\\073"`` becomes ``;``). This one takes names and values as they are, and shows every duplicate.
"""

from __future__ import annotations

#: Servers refuse longer headers before we see them (RFC 6265bis §4.1.1 speaks of 8192 octets); a guard, in characters.
MAX_HEADER = 65_536


def cookie_values(header: str, name: str) -> list[str]:
    """Return the values of all cookies called ``name``, exactly, in the order sent; none if the header is too long."""
    if name not in header or len(header) > MAX_HEADER:
        return []
    values = []
    for pair in header.split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip(" \t") == name:
            values.append(value.strip(" \t"))
    return values
