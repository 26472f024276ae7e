"""Values to bytes and back: MessagePack with a closed list of extension types.

What comes back equals what went in and has the same types all the way down. The same value always gives the same
bytes (sets are sorted by their encoded elements, the order of a dict is part of it), so that comparing bytes finds
every change. Only the types listed in ``codec_types.py``, or registered, are ever made of bytes: nothing is imported
or called by a name that is found in them.

What cannot be stored is a ``TypeError`` that names the path to it and never shows the value, which may be a secret.
Only ``bytearray`` and ``memoryview`` change: they come back as ``bytes``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable
from itertools import repeat
from typing import Any

import ormsgpack

from .codec_types import ELEMENT, KEY, READERS, DecodeError, Unstorable, extension, register, type_name, utf8

__all__ = ["DecodeError", "decode", "encode", "register"]

# ormsgpack is to leave to us what it would flatten to something plainer.
_OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)

# Of lists and dicts within each other, ormsgpack writes this many, and reads four times as many.
_MAX_DEPTH = 255

# An extension that holds values is a message of its own. So many within each other are written and read, since each
# costs stack (at worst half a megabyte, of the eight that a thread has) and time (it copies what is inside).
_MAX_NESTING = 12
_TOO_DEEP = "it is nested too deeply, or contains itself"


def encode(value: object) -> bytes:
    """Return the bytes of ``value``.

    :raises TypeError: for what cannot be stored; it names the path to it and what to write instead.
    """
    try:
        return ormsgpack.packb(value, _default, _OPTIONS)
    except TypeError:
        return _Careful().encode(value)


def decode(data: bytes) -> Any:
    """Return the value that :func:`encode` made ``data`` of.

    :raises DecodeError: for anything else. Time and memory are bounded by the length of ``data``.
    """
    try:
        return _unpack(data, _ext_hook)
    except ValueError as error:
        raise DecodeError(_refusal.__dict__.pop("reason", str(error))) from None


_Default = Callable[[Any], ormsgpack.Ext]  # what ormsgpack calls for a value that it does not write itself


def _default_around(inner: _Default | None) -> _Default:
    def pack(values: Collection[object], steps: Iterable[object]) -> bytes:
        return ormsgpack.packb(values, inner, _OPTIONS)

    def default(value: object) -> ormsgpack.Ext:
        return extension(value, pack)

    return default


_default: _Default | None = None  # at the bottom, ormsgpack refuses
for _ in range(_MAX_NESTING):
    _default = _default_around(_default)


_SCALARS = frozenset({int, float, bool, bytes, type(None)})


class _Careful:
    """Encodes, step by step, what ormsgpack refused as a whole.

    That is a dict with other keys than str, which becomes an extension (ormsgpack's own option for them turns dates,
    UUIDs and enum members into str without a word); or something that cannot be stored, to which it finds the path.
    """

    def __init__(self) -> None:
        self._path: list[object] = []
        self._nesting = 0

    def encode(self, value: object) -> bytes:
        try:
            return ormsgpack.packb(self._convert(value), _default, _OPTIONS)
        except Unstorable as problem:
            raise TypeError(f"session{_shown(self._path)}: {problem}") from None

    def _convert(self, value: Any) -> object:
        """Return ``value`` made of what ormsgpack writes by itself, and of extensions."""
        kind = type(value)
        if kind is str:
            if not value.isascii():
                utf8(value)
            return value
        if kind in _SCALARS:
            return value
        if kind in (bytearray, memoryview):
            return bytes(value)
        if len(self._path) >= _MAX_DEPTH:
            raise Unstorable(_TOO_DEEP)
        if kind is list:
            return self._convert_all(value, range(len(value)))
        if kind is dict and all(type(key) is str for key in value):
            keys = self._convert_all(value, repeat(KEY))
            return dict(zip(keys, self._convert_all(value.values(), value), strict=True))
        return self._convert_to_extension(value)

    def _convert_all(self, values: Collection[object], steps: Iterable[object]) -> list[object]:
        converted = []
        for value, step in zip(values, steps, strict=False):
            self._path.append(step)
            converted.append(self._convert(value))
            self._path.pop()
        return converted

    def _convert_to_extension(self, value: object) -> ormsgpack.Ext:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise Unstorable(_TOO_DEEP)
        converted = extension(value, self._pack)
        self._nesting -= 1
        return converted

    def _pack(self, values: Collection[object], steps: Iterable[object]) -> bytes:
        return ormsgpack.packb(self._convert_all(values, steps), _default, _OPTIONS)


def _shown(path: list[object]) -> str:
    """Return a path as a person would write it; of its keys, only text and small numbers are shown."""
    shown = ""
    for step in path:
        if step is KEY:
            shown += "<key>"
        elif step is ELEMENT:
            shown += "<element>"
        elif type(step) is str:
            shown += f"[{json.dumps(step[:40])}]"
        elif type(step) is int and abs(step) < 10**12:
            shown += f"[{step}]"
        else:
            shown += f"[<{type_name(type(step))}>]"
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


_Hook = Callable[[int, bytes], Any]  # what ormsgpack calls for an extension that it reads

# ormsgpack ignores what follows a value. So a message is read as the first of a pair, and this must be the second;
# random, so that what follows cannot pretend to be it.
_END = os.urandom(16)
_END_MESSAGE = ormsgpack.packb(_END)
_PAIR = b"\x92"

# ormsgpack drops what a hook raises: .reason keeps it for decode().
_refusal = threading.local()


def _unpack(data: bytes, hook: _Hook | None) -> Any:
    value, end = ormsgpack.unpackb(_PAIR + data + _END_MESSAGE, ext_hook=hook)
    if end != _END:
        raise DecodeError("something follows the value")
    return value


def _hook_around(inner: _Hook | None) -> _Hook:
    def unpack(payload: bytes) -> Any:
        return _unpack(payload, inner)

    def hook(number: int, payload: bytes) -> Any:
        try:
            return READERS[number](payload, unpack)
        except DecodeError as error:
            _refusal.reason = str(error)
            raise

    return hook


_ext_hook: _Hook | None = None
for _ in range(_MAX_NESTING):
    _ext_hook = _hook_around(_ext_hook)
