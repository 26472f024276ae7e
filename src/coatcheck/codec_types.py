"""The types besides MessagePack's own that a session keeps: for each of them a number, its bytes, and the way back.

Part of :mod:`coatcheck.codec`, which is the place to read first. Whatever nests other values gets ``pack`` or
``unpack``, which encode and decode those.
"""

from __future__ import annotations

import dataclasses
import inspect
import struct
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Protocol, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ormsgpack

from .errors import ConfigurationError

_T = TypeVar("_T", bound=type)


class DecodeError(ValueError):
    """These bytes are not a value that ``encode`` wrote, or they name a type that is not registered here."""


class Unstorable(Exception):
    """Why a value cannot be stored. The path to it is added by the one who knows it."""


#: Steps that are no subscript: to a key of a dict, to an element of a set.
KEY, ELEMENT = object(), object()


class Pack(Protocol):
    """Encodes the values inside another one, as one list. ``steps`` lead to them, for the path in an error."""

    def __call__(self, values: Collection[object], steps: Iterable[object]) -> bytes: ...


Unpack = Callable[[bytes], Any]
Writer = Callable[[Any, Pack], bytes]
Reader = Callable[[bytes, Unpack], Any]


def type_name(cls: type) -> str:
    """Return the name of a class as a person would write it, in at most 80 characters."""
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return name if len(name) <= 80 else f"{name[:77]}..."


def utf8(text: str) -> bytes:
    """Return the bytes of ``text``.

    :raises Unstorable: if it is not text, but has half a surrogate pair in it.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unstorable(
            "a str with half a surrogate pair is not text and cannot be stored in a session;"
            ' store value.encode("utf-8", "surrogatepass")'
        ) from None


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _int(payload: bytes) -> int:
    return int.from_bytes(payload, "big", signed=True)


def _microseconds(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _write_tuple(values: tuple[object, ...], pack: Pack) -> bytes:
    return pack(list(values), range(len(values)))


def _write_set(elements: Iterable[object], pack: Pack) -> bytes:
    lists_of_one = sorted(pack([element], [ELEMENT]) for element in elements)
    return ormsgpack.packb([ormsgpack.Fragment(packed[1:]) for packed in lists_of_one])


def _write_pairs(pairs: dict[object, object], pack: Pack) -> bytes:
    flat = [part for pair in pairs.items() for part in pair]
    return pack(flat, [step for key in pairs for step in (KEY, key)])


def _read_pairs(payload: bytes, unpack: Unpack) -> dict[object, object]:
    return _paired(unpack(payload))


def _paired(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


# A moment is one number, microseconds << 3 | zone << 1 | fold, followed by what names the zone. The microseconds are
# those of the clock on the wall: of a datetime since 1970, eight bytes for the years 1 to 9999; of a time since
# midnight, five bytes.
_NAIVE, _UTC, _OFFSET, _ZONE = range(4)
_DATETIME = struct.Struct(">q")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (naive values are counted from it)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DATE = date(1970, 1, 1)


def _write_datetime(value: datetime, pack: Pack) -> bytes:
    if value.tzinfo is UTC:  # the usual one, and replace() takes a microsecond
        return _DATETIME.pack(_microseconds(value - _EPOCH_UTC) << 3 | _UTC << 1 | value.fold)
    zone, suffix = _write_zone(value.tzinfo)
    wall = _microseconds(value.replace(tzinfo=None) - _EPOCH)
    return _DATETIME.pack(wall << 3 | zone << 1 | value.fold) + suffix


def _read_datetime(payload: bytes, unpack: Unpack) -> datetime:
    (number,) = _DATETIME.unpack_from(payload)
    wall = timedelta(0, 0, number >> 3)
    if number & 7 == _UTC << 1:
        return _EPOCH_UTC + wall
    return (_EPOCH + wall).replace(tzinfo=_read_zone(number >> 1 & 3, payload[8:]), fold=number & 1)


def _write_date(value: date, pack: Pack) -> bytes:
    return _signed((value - _EPOCH_DATE).days)


def _read_date(payload: bytes, unpack: Unpack) -> date:
    return _EPOCH_DATE + timedelta(_int(payload))


def _write_time(value: time, pack: Pack) -> bytes:
    zone, suffix = _write_zone(value.tzinfo)
    wall = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return (wall << 3 | zone << 1 | value.fold).to_bytes(5, "big") + suffix


def _read_time(payload: bytes, unpack: Unpack) -> time:
    number = int.from_bytes(payload[:5], "big")
    seconds, microsecond = divmod(number >> 3, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, microsecond, _read_zone(number >> 1 & 3, payload[5:]), fold=number & 1)


def _write_zone(zone: tzinfo | None) -> tuple[int, bytes]:
    if zone is None:
        return _NAIVE, b""
    if zone is UTC:
        return _UTC, b""
    if type(zone) is timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        named = name != timezone(offset).tzname(None)
        number = _microseconds(offset) << 1 | named
        return _OFFSET, number.to_bytes(5, "big", signed=True) + (utf8(name) if named else b"")
    if type(zone) is ZoneInfo and zone.key:
        return _ZONE, utf8(zone.key)
    raise Unstorable(
        f"a time zone that is a {type_name(type(zone))} cannot be stored in a session;"
        ' use zoneinfo.ZoneInfo("Area/City"), or write value.astimezone(datetime.UTC)'
    )


def _read_zone(zone: int, suffix: bytes) -> tzinfo | None:
    if zone == _ZONE:
        try:
            return ZoneInfo(suffix.decode())
        except ZoneInfoNotFoundError:
            raise DecodeError(f"this machine has no time zone {suffix[:80]!r}; install the tzdata package") from None
    if zone == _OFFSET:
        number = _int(suffix[:5])
        name = (suffix[5:].decode(),) if number & 1 else ()
        return timezone(timedelta(0, 0, number >> 1), *name)
    return UTC if zone == _UTC else None


def _write_html(value: Any, pack: Pack) -> bytes:
    return utf8(str(value.__html__()))


def _read_html(payload: bytes, unpack: Unpack) -> str:
    try:
        from markupsafe import Markup  # no dependency of ours: who stores Markup has it
    except ImportError:
        return payload.decode()
    return Markup(payload.decode())  # noqa: S704 (it was Markup when it was stored)


# Registered types: the name that the bytes call them by, and how to make one of what was stored.
_registered: dict[str, tuple[type, Callable[[list[Any]], object]]] = {}


def register(cls: _T, name: str | None = None) -> _T:
    """Let members of an enum, or instances of a dataclass, be stored. Returns ``cls``, so it is a decorator too.

    An enum member is stored by its name (a flag by its value), a dataclass by its fields. A dataclass may gain fields
    that have a default; when one is removed, what was stored with it can no longer be decoded.

    :param name: what the stored bytes call the type, by default the name of the class. Keep it if the class is renamed.
    :raises ConfigurationError: for any other type, or if another type has that name.
    """
    name = name or cls.__name__
    known, _ = _registered.get(name, (cls, None))
    if known is not cls:
        raise ConfigurationError(
            f"{name!r} already stands for {type_name(known)}; give {type_name(cls)} another name:"
            ' coatcheck.codec.register(cls, "another name")'
        )
    if issubclass(cls, Enum):
        _register_enum(cls, name)
    elif dataclasses.is_dataclass(cls):
        _register_dataclass(cls, name)
    else:
        raise ConfigurationError(f"{type_name(cls)} cannot be registered: it is neither an enum nor a dataclass")
    return cls


def _register_enum(cls: type[Enum], name: str) -> None:
    by_value = issubclass(cls, Flag)  # a combination of flags has no name of its own

    def write(member: Enum, pack: Pack) -> bytes:
        return pack([name, member.value if by_value else member.name], (KEY, KEY))

    def read(stored: list[Any]) -> Enum:
        (member,) = stored
        if by_value:
            return cls(member)
        if member not in cls.__members__:
            raise DecodeError(f"{type_name(cls)} has no member {member!r:.80}")
        return cls[member]

    WRITERS[cls] = (_ENUM, write)
    _registered[name] = (cls, read)


def _register_dataclass(cls: type, name: str) -> None:
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    steps = [KEY, *(step for field in names for step in (KEY, field))]
    later = {field.name for field in fields if not field.init}
    if set(inspect.signature(cls).parameters) != set(names) - later:
        raise ConfigurationError(
            f"{type_name(cls)} cannot be registered: its constructor must take its fields and nothing else"
        )

    def write(instance: object, pack: Pack) -> bytes:
        return pack([name, *(part for field in names for part in (field, getattr(instance, field)))], steps)

    def read(stored: list[Any]) -> object:
        values = _paired(stored)
        try:
            instance = cls(**{field: value for field, value in values.items() if field not in later})
        except TypeError:
            raise DecodeError(f"{type_name(cls)} no longer takes the fields that were stored with it") from None
        for field, value in values.items():
            object.__setattr__(instance, field, value)  # as it was, whatever __post_init__ makes of it
        return instance

    WRITERS[cls] = (_DATACLASS, write)
    _registered[name] = (cls, read)


def _read_registered(payload: bytes, unpack: Unpack) -> object:
    name, *stored = unpack(payload)
    if name not in _registered:
        raise DecodeError(f"no type is registered as {name!r:.80}; call coatcheck.codec.register when the app starts")
    _, read = _registered[name]
    return read(stored)


# The closed list. The numbers are in every stored record: never change one, never use one again.
_HTML, _ENUM, _DATACLASS = 12, 13, 14
_LISTED: list[tuple[int, type, Writer, Reader]] = [
    (1, tuple, _write_tuple, lambda payload, unpack: tuple(unpack(payload))),
    (2, set, _write_set, lambda payload, unpack: set(unpack(payload))),
    (3, frozenset, _write_set, lambda payload, unpack: frozenset(unpack(payload))),
    (4, dict, _write_pairs, _read_pairs),  # only one with other keys than str comes here
    (5, int, lambda value, _: _signed(value), lambda payload, _: _int(payload)),  # only one of more than 64 bits
    (6, datetime, _write_datetime, _read_datetime),
    (7, date, _write_date, _read_date),
    (8, time, _write_time, _read_time),
    (9, timedelta, lambda value, _: _signed(_microseconds(value)), lambda payload, _: timedelta(0, 0, _int(payload))),
    # upper(): whether str() writes 1E+3 or 1e+3 is up to the decimal context, and equal values have equal bytes
    (10, Decimal, lambda value, _: str(value).upper().encode(), lambda payload, _: Decimal(payload.decode())),
    (11, UUID, lambda value, _: value.bytes, lambda payload, _: UUID(bytes=payload)),
]
WRITERS: dict[type, tuple[int, Writer]] = {cls: (number, write) for number, cls, write, _ in _LISTED}
READERS: dict[int, Reader] = {number: read for number, _, _, read in _LISTED} | {
    _HTML: _read_html,
    _ENUM: _read_registered,
    _DATACLASS: _read_registered,
}


def extension(value: object, pack: Pack) -> ormsgpack.Ext:
    """Return what stands for ``value`` in MessagePack.

    :raises Unstorable: if its type is not on the list.
    """
    number, write = WRITERS.get(type(value)) or _writer_of_unlisted(value)
    return ormsgpack.Ext(number, write(value, pack))


def _writer_of_unlisted(value: object) -> tuple[int, Writer]:
    if not isinstance(value, type) and callable(getattr(value, "__html__", None)):
        return _HTML, _write_html  # Markup, and what turns into it, such as a lazy string: as in Flask's own session
    name = type_name(type(value))
    article = "an" if name[0] in "aeiou" else "a"
    raise Unstorable(f"{article} {name} cannot be stored in a session; {_advice(value)}")


def _advice(value: object) -> str:
    if isinstance(value, Enum):
        return "store its .value, or register the enum with coatcheck.codec.register"
    if dataclasses.is_dataclass(value):
        return "store dataclasses.asdict(value), or register the dataclass with coatcheck.codec.register"
    for base in type(value).__mro__[1:]:
        if base in (datetime, date, time, timedelta, UUID):
            return f"it is a subclass of {base.__name__}: make a plain {base.__name__} of it"
        if base in WRITERS or base in (str, bytes, float, list):
            return f"it is a subclass of {base.__name__}: write {base.__name__}(value)"
    return "store what identifies it, such as its id, or a dict of plain values"
