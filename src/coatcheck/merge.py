"""What two overlapping requests make of one session (DESIGN §6, Merging). Pure: values in, a value out.

``base`` is what both requests loaded, ``mine`` what this one made of it, ``theirs`` what the other has stored since.
"""

from __future__ import annotations

from typing import Any

from .codec import encode

_MISSING: Any = object()

# Far above what an application nests, far below Python's recursion limit. Deeper down, the later commit wins whole.
_MAX_DEPTH = 100


def merge(base: dict[Any, Any], mine: dict[Any, Any], theirs: dict[Any, Any], _depth: int = 0) -> dict[Any, Any]:
    """Return ``theirs`` with my changes made to it.

    Keys that only one side changed, added or removed follow that side. A key that both changed: dicts are merged in
    turn, a list to which both only appended keeps both tails, anything else is mine, since mine is the later commit.
    """
    merged = {}
    for key in [*theirs, *(key for key in mine if key not in theirs)]:
        value = _merge_value(
            base.get(key, _MISSING), mine.get(key, _MISSING), theirs.get(key, _MISSING), _depth
        )
        if value is not _MISSING:
            merged[key] = value
    return merged


def _merge_value(base: Any, mine: Any, theirs: Any, depth: int) -> Any:
    if _same(mine, base):
        return theirs
    if _same(theirs, base):
        return mine
    if type(mine) is dict and type(theirs) is dict and depth < _MAX_DEPTH:
        return merge(base if type(base) is dict else {}, mine, theirs, depth + 1)
    if type(mine) is list and type(theirs) is list and (type(base) is list or base is _MISSING):
        # Two requests that both begin a list append to an empty one: setdefault("cart", []).append(…), or flash().
        shared = [] if base is _MISSING else base
        if _same(mine[: len(shared)], shared) and _same(theirs[: len(shared)], shared):
            return theirs + mine[len(shared) :]
    return mine


def _same(one: Any, other: Any) -> bool:
    """Compare as the store would: 1, 1.0 and True are equal in Python, and three different values to keep."""
    if one is _MISSING or other is _MISSING:
        return one is other
    return encode(one) == encode(other)
