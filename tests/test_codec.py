"""What goes into a session comes out of it, type for type; and no bytes at all can do harm on their way in."""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import struct
import subprocess
import sys
import time as clock
import tracemalloc
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from coatcheck import codec_types
from coatcheck.codec import DecodeError, decode, encode, register
from coatcheck.errors import ConfigurationError

NAIVE = datetime  # by another name: naive values are stored on purpose here
BERLIN = ZoneInfo("Europe/Berlin")
AN_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def fingerprint(value: Any) -> Any:
    """Return something hashable that is equal only for values that are the same in every type and bit."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack(">d", value)
    if kind is Decimal:
        return kind, value.as_tuple()
    if kind in (list, tuple):
        return kind, tuple(fingerprint(item) for item in value)
    if kind in (set, frozenset):
        return kind, frozenset(fingerprint(item) for item in value)
    if kind is dict:
        return kind, tuple((fingerprint(key), fingerprint(item)) for key, item in value.items())
    if kind in (datetime, time):
        return kind, value.replace(tzinfo=None, fold=0), value.fold, zone_fingerprint(value.tzinfo)
    return kind, value


def zone_fingerprint(zone: tzinfo | None) -> Any:
    if isinstance(zone, ZoneInfo):
        return ZoneInfo, zone.key
    return None if zone is None else (type(zone), zone.utcoffset(None), zone.tzname(None))


def survives(value: object) -> bool:
    return bool(fingerprint(decode(encode(value))) == fingerprint(value))


# --- What survives ------------------------------------------------------------------------------------------------

offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
zones = (
    st.sampled_from([None, UTC, *map(ZoneInfo, ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"])])
    | st.builds(timezone, offsets)
    | st.builds(timezone, offsets, st.text(max_size=5))
)
moments = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes() | st.times(),
    zones,
    st.sampled_from([0, 1]),
)
hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(60, 200).map(lambda bits: 2**bits - 1),
    st.floats(),
    st.text(max_size=10),
    st.binary(max_size=10),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.uuids(),
    st.text(max_size=10).map(Markup),
    st.dates(),
    st.timedeltas(),
    moments,
)
# deferred: their representation, which Hypothesis builds now and then, would have 39,000 characters
hashables = st.deferred(
    lambda: (
        hashable_scalars
        | st.lists(hashable_scalars, max_size=3).map(tuple)
        | st.frozensets(hashable_scalars, max_size=3)
    )
)
containers = st.deferred(
    lambda: (
        st.lists(values, max_size=3)
        | st.lists(values, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), values, max_size=3)
        | st.dictionaries(hashables, values, max_size=3)
        | st.sets(hashables, max_size=3)
    )
)
values: st.SearchStrategy[Any] = st.deferred(lambda: hashables | st.decimals() | containers)


@settings(max_examples=400)
@given(values)
def test_every_value_survives(value: object) -> None:
    """What is decoded equals what was encoded, with the same types all the way down."""
    assert survives(value)


@given(values)
def test_the_same_value_has_the_same_bytes(value: object) -> None:
    """A value that was stored and loaded is encoded to the same bytes again: unchanged means unwritten."""
    assert encode(decode(encode(value))) == encode(value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, [10**5000], 0.0, -0.0, float("nan"), float("-inf"),
        Decimal("1E+5"), Decimal("-0.00"), Decimal("sNaN7"), Decimal("-Infinity"), Decimal("0.1000"),
        NAIVE.min, NAIVE.max, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))), datetime(2025, 1, 1, tzinfo=timezone.min),
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(0), "Z")),
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(1) / 7)),
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=1), "")),
        datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN), datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1),
        NAIVE(2025, 10, 26, 2, 30, fold=1), time.min, time.max, time(2, 30, tzinfo=BERLIN, fold=1),
        time(2, 30, tzinfo=timezone(timedelta(hours=-8))), date.min, date.max, timedelta.min, timedelta.max,
        timedelta(microseconds=-1), Markup("<b>&amp;</b>"), (), [], {}, set(), frozenset(), b"", "", "\0",
        {"cart": [{"id": (1, {2, 3})}]}, ((((1,), [2]),),), {frozenset({(1, "a")})},
    ],
)  # fmt: skip
def test_the_edges_survive(value: object) -> None:
    """The extremes of every type survive as they are."""
    assert survives(value)


@pytest.mark.parametrize(
    "keys",
    [
        [1, 2], [1, "1"], [None, "a", True], [1.5, b"b"], [date(2025, 1, 1), datetime(2025, 1, 1, tzinfo=UTC)],
        [AN_ID, str(AN_ID)], [(1, "a"), frozenset({1})], [Decimal("1.0"), "1.0"], [Markup("m"), "s"], [2**70],
    ],
)  # fmt: skip
def test_keys_of_every_type_survive(keys: list[Any]) -> None:
    """Dicts keep their keys' types and order, also with several types of keys, and inside anything else."""
    mapping = {key: {key: index} for index, key in enumerate(keys)}
    assert survives(mapping)
    assert survives({"deep": [({"list": [mapping]},)]})
    assert survives(dict(reversed(mapping.items())))


def test_numbers_that_are_equal_stay_apart() -> None:
    """1, True, 1.0 and Decimal(1) are equal in Python and four different values in a session."""
    numbers = [1, True, 1.0, Decimal(1), Decimal("1.0"), "1", b"1"]
    assert len({encode(number) for number in numbers}) == len(numbers)


def test_the_order_of_a_dict_is_part_of_it() -> None:
    """Two dicts in different order are two values, whatever their keys."""
    assert encode({"a": 1, "b": 2}) != encode({"b": 2, "a": 1})
    assert encode({1: 1, 2: 2}) != encode({2: 2, 1: 1})


def test_sets_have_one_encoding_under_every_hash_seed() -> None:
    """A set has the same bytes in every process, although Python iterates over it in another order in each."""
    script = (
        "from coatcheck.codec import encode; words = [str(n) for n in range(50)];"
        "print(encode([set(words), frozenset(words), {frozenset(words), (1, frozenset(words[:9]))}]).hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_the_decimal_context_leaves_the_bytes_alone() -> None:
    """The application's own decimal context changes neither the bytes of a Decimal nor its digits."""
    number = Decimal("1.23456789E+50")
    usual = encode(number)
    with localcontext(prec=2, capitals=0):
        assert encode(number) == usual
        assert survives(number)


def test_zones_come_back_as_themselves() -> None:
    """UTC is the one UTC, a ZoneInfo comes back by its key, and arithmetic across a change of clocks still works."""
    assert decode(encode(datetime(2025, 1, 1, tzinfo=UTC))).tzinfo is UTC
    late = decode(encode(datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1)))
    assert late.tzinfo is BERLIN
    assert late.utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab"), memoryview(b"a-b-")[::2]])
def test_buffers_come_back_as_bytes(value: object) -> None:
    """A bytearray or memoryview is stored as the bytes it holds: the one change of type there is."""
    assert fingerprint(decode(encode({"buffer": value}))) == fingerprint({"buffer": b"ab"})
    assert fingerprint(decode(encode({1: value}))) == fingerprint({1: b"ab"})


# --- The format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, -1, 2.5, None, True, b"b"]}, "81a1619601ffcb4004000000000000c0c3c40162"),
        ((1,), "d5019101"),
        ({2, 1}, "c70302920102"),
        (frozenset({1}), "d5039101"),
        ({1: 2}, "c70304920102"),
        (2**64, "c70905010000000000000000"),
        (NAIVE(2025, 1, 1), "d706003154cdd0630000"),
        (datetime(2025, 1, 1, tzinfo=UTC), "d706003154cdd0630002"),
        (datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=1))), "c70d06003154cdd063000401ad274800"),
        (datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")), "d806003154cdd063000401ad274801434554"),
        (datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1), "c71506003210347999d0074575726f70652f4265726c696e"),
        (date(2025, 1, 1), "d5074e79"),
        (time(1, 2, 3, 4), "c7050806ef43c620"),
        (time(1, 2, tzinfo=UTC), "c7050806edd59002"),
        (timedelta(days=1), "c70509141dd76000"),
        (Decimal("19.90"), "c7050a31392e3930"),
        (AN_ID, "d80b12345678123456781234567812345678"),
        (Markup("<b>"), "c7030c3c623e"),
    ],
)
def test_the_format_is_frozen(value: object, expected: str) -> None:
    """Records outlive a release: each type keeps its bytes, and they are few (a UTC datetime has eight and its tag)."""
    assert encode(value).hex() == expected


# --- What cannot be stored ----------------------------------------------------------------------------------------


class Thing:
    def __repr__(self) -> str:
        return "hunter2"


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Item:
    name: str
    price: Any = None


class SubStr(str):
    __slots__ = ()


class SubInt(int):
    pass


class SubDatetime(datetime):
    pass


class Minutes(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(minutes=7)


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "path", "advice"),
    [
        (Thing(), "session:", "a dict of plain values"),
        ({"cart": [0, 1, {"when": Thing()}]}, 'session["cart"][2]["when"]: a {here}.Thing', "its id"),
        ({"a": (1, (Thing(),))}, 'session["a"][1][0]:', ""),
        ({"a": {"b", Thing()}}, 'session["a"]<element>:', ""),
        ({"a": {1: Thing(), -2: 1}}, 'session["a"][1]:', ""),
        ({"a": {Thing(): 1}}, 'session["a"]<key>:', ""),
        ({"a": {None: [Thing()]}}, 'session["a"][<NoneType>][0]:', ""),
        ({"a": {date(2025, 1, 1): Thing()}}, 'session["a"][<datetime.date>]:', ""),
        ({SubStr("a"): 1}, "session<key>: a {here}.SubStr", "write str(value)"),
        ({"a": SubStr("hunter2")}, 'session["a"]:', "write str(value)"),
        ({"a": SubInt(7)}, 'session["a"]:', "write int(value)"),
        ({"a": OrderedDict(b=1)}, 'session["a"]: a collections.OrderedDict', "write dict(value)"),
        ({"a": defaultdict(list)}, 'session["a"]:', "write dict(value)"),
        ({"a": Counter("aab")}, 'session["a"]:', "write dict(value)"),
        ({"a": Point(1, 2)}, 'session["a"]: a {here}.Point', "write tuple(value)"),
        ({"a": SubDatetime(2025, 1, 1)}, 'session["a"]:', "make a plain datetime of it"),
        ({"a": Colour.RED}, 'session["a"]: a {here}.Colour', "store its .value, or register the enum"),
        ({"a": Item("x")}, 'session["a"]: a {here}.Item', "store dataclasses.asdict(value), or register"),
        ({"a": datetime(2025, 1, 1, tzinfo=Minutes())}, 'session["a"]: a time zone', 'zoneinfo.ZoneInfo("Area/City")'),
        ({"a": "\udc80"}, 'session["a"]: a str with half a surrogate pair', "surrogatepass"),
        ({"a": {"\udc80": 1}}, 'session["a"]<key>: a str with half', "surrogatepass"),
        ({"a": Markup("\udc80")}, 'session["a"]: a str with half', "surrogatepass"),
        ({"a": 1j}, 'session["a"]: a complex', ""),
        ({"a": Thing}, 'session["a"]: a type', ""),
        ({"a": Markup}, 'session["a"]: a type', ""),
        ({"a": (n for n in ())}, 'session["a"]: a generator', ""),
    ],
)
def test_what_cannot_be_stored_is_named(value: object, path: str, advice: str) -> None:
    """The error says where the value is, of what type it is and what to write instead, and never shows the value."""
    with pytest.raises(TypeError) as caught:
        encode(value)
    message = str(caught.value)
    assert message.startswith(path.format(here=__name__))
    assert advice in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "value",
    [
        {"k" * 1000: Thing()},
        {10**5000: Thing()},
        {"a": type("T" * 1000, (), {})()},
        functools.reduce(lambda inner, _: {"key": inner}, range(200), Thing()),
    ],
    ids=["long key", "long number", "long class name", "long path"],
)
def test_the_error_is_short(value: object) -> None:
    """Neither a key, nor a class name, nor the depth of a value makes the error long."""
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert len(str(caught.value)) < 340
    assert "k" * 41 not in str(caught.value)


def circular(wrap: Callable[[list[Any]], object]) -> list[Any]:
    circle: list[Any] = []
    circle.append(wrap(circle))
    return circle


@pytest.mark.parametrize(
    "value",
    [
        circular(lambda circle: circle),
        circular(lambda circle: (circle,)),
        circular(lambda circle: {"a": circle}),
        circular(lambda circle: {1: circle}),
    ],
    ids=["list", "tuple", "dict", "dict of int"],
)
def test_a_circle_is_refused(value: object) -> None:
    """Something that contains itself is an error of one line, not an endless loop."""
    with pytest.raises(TypeError, match="nested too deeply, or contains itself"):
        encode({"a": value})


def nested(depth: int, *wraps: Callable[[object], object]) -> object:
    value: object = 1
    for level in range(depth):
        value = wraps[level % len(wraps)](value)
    return value


WRAPS: dict[str, Callable[[object], object]] = {
    "list": lambda value: [value],
    "dict": lambda value: {"a": value},
    "tuple": lambda value: (value,),
    "int key": lambda value: {1: value},
    "frozenset": lambda value: {"s": (frozenset({1}), value)},
}


@pytest.mark.parametrize("first", WRAPS)
@pytest.mark.parametrize("second", WRAPS)
def test_what_can_be_encoded_can_be_decoded(first: str, second: str) -> None:
    """At every depth a value is either refused when it is stored, or comes back: never lost in between."""
    accepted = []
    for depth in [*range(1, 30), *range(250, 260)]:
        value = nested(depth, WRAPS[first], WRAPS[second])
        try:
            data = encode(value)
        except TypeError:
            continue
        accepted.append(depth)
        assert encode(decode(data)) == data
    assert accepted[:4] == [1, 2, 3, 4]
    if {first, second} <= {"list", "dict"}:
        assert accepted[-1] == 255


def test_many_extensions_are_not_nested_ones() -> None:
    """The limit is on extensions within each other; beside each other there may be any number."""
    assert survives({"tuples": [(number,) for number in range(100)], 1: [{(1, 2): {3}} for _ in range(100)]})


def test_an_error_of_the_application_is_its_own() -> None:
    """What an object's own __html__ raises reaches the application as it is."""

    class Broken:
        def __html__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        encode({"a": Broken()})


# --- Markup -------------------------------------------------------------------------------------------------------


def test_what_renders_itself_becomes_markup() -> None:
    """An object with __html__, such as a lazy string, is stored as Markup, as Flask's own session does."""

    class Lazy:
        def __html__(self) -> str:
            return "<i>hello</i>"

    assert fingerprint(decode(encode([Lazy()]))) == fingerprint([Markup("<i>hello</i>")])


def test_markup_without_markupsafe_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """markupsafe is no dependency: where it is missing, Markup is read as str."""
    data = encode(Markup("<b>"))
    monkeypatch.setitem(sys.modules, "markupsafe", None)
    assert fingerprint(decode(data)) == fingerprint("<b>")


# --- Registered types ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_types, "_registered", dict(codec_types._registered))
    monkeypatch.setattr(codec_types, "WRITERS", dict(codec_types.WRITERS))


def forget(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(codec_types._registered, name)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Shade(enum.StrEnum):
    DARK = "dark"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize("member", [Colour.RED, Rights.READ | Rights.WRITE, Rights(0), Shade.DARK, Level.HIGH])
def test_a_registered_enum_survives(member: enum.Enum) -> None:
    """A member comes back as the very same, also as a key and in a set; combinations of flags too."""
    register(type(member))
    value = decode(encode({"a": member, "b": {member: (member,)}, "c": {member}}))
    assert value["a"] is member or value["a"] == member
    assert type(value["a"]) is type(member)
    assert list(value["b"]) == [member]
    assert type(next(iter(value["b"]))) is type(member)
    assert {type(each) for each in value["c"]} == {type(member)}


def test_a_registered_dataclass_survives() -> None:
    """All fields come back as they were: frozen, with slots, without init, and whatever __post_init__ does."""

    @register
    @dataclasses.dataclass(slots=True, kw_only=True)
    class Order:
        item: Item
        total: int
        doubled: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            self.total += 1
            self.doubled = self.total * 2

    register(Item)
    order = Order(item=Item("tea", Decimal("2.50")), total=1)
    order.doubled = 99
    again = decode(encode({"order": order, 7: {order.item: [order.item]}}))
    assert again == {"order": order, 7: {order.item: [order.item]}}
    assert (again["order"].total, again["order"].doubled) == (2, 99)


def test_a_field_of_a_dataclass_is_in_the_path() -> None:
    """What cannot be stored inside a registered dataclass is named by its field."""
    register(Item)
    with pytest.raises(TypeError, match=r'^session\["cart"\]\[0\]\["price"\]: a .*Thing cannot'):
        encode({"cart": [Item("tea", Thing())]})


def test_a_field_may_be_added_and_none_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataclass that gained a default field reads what was stored before; one that lost a field says so."""

    @dataclasses.dataclass
    class New:
        name: str
        price: int = 5

    @dataclasses.dataclass
    class Lost:
        price: int = 5

    @dataclasses.dataclass
    class Old:
        name: str

    data = encode(register(Old, "item")("tea"))
    forget(monkeypatch, "item")
    register(New, "item")
    assert decode(data) == New("tea", 5)
    forget(monkeypatch, "item")
    register(Lost, "item")
    with pytest.raises(DecodeError, match="Lost no longer takes the fields"):
        decode(data)


def test_a_name_that_is_not_registered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes cannot make anything that the application did not register, and the error says what is missing."""
    register(Colour, "colour")
    data = encode({"deep": [(Colour.RED,)]})
    forget(monkeypatch, "colour")
    with pytest.raises(DecodeError, match=r"no type is registered as 'colour'; call coatcheck\.codec\.register"):
        decode(data)

    class Pastel(enum.Enum):
        PINK = 1

    register(Pastel, "colour")
    with pytest.raises(DecodeError, match="Pastel has no member 'RED'"):
        decode(data)


def test_registering_is_checked() -> None:
    """A name stands for one type, twice the same is no harm, and only enums and plain dataclasses are taken."""
    assert register(Colour) is Colour
    assert register(Colour) is Colour
    with pytest.raises(ConfigurationError, match=r"'Colour' already stands for .*Colour"):
        register(Item, "Colour")
    with pytest.raises(ConfigurationError, match=r"Thing cannot be registered: it is neither"):
        register(Thing)

    @dataclasses.dataclass
    class WithInitVar:
        secret: dataclasses.InitVar[str]

    with pytest.raises(ConfigurationError, match="its constructor must take its fields and nothing else"):
        register(WithInitVar)


# --- Hostile bytes ------------------------------------------------------------------------------------------------


def decodes_or_refuses(data: bytes) -> bool:
    """Return whether ``data`` is a value. Anything but a value or a DecodeError fails the test."""
    try:
        decode(data)
    except DecodeError:
        return False
    return True


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    """No bytes at all make the decoder raise anything but DecodeError."""
    decodes_or_refuses(data)


@given(st.integers(0, 127), st.binary(max_size=40))
def test_any_extension_is_a_value_or_refused(number: int, payload: bytes) -> None:
    """Neither does an extension of any number with anything in it."""
    decodes_or_refuses(bytes([0xC7, len(payload), number]) + payload)


@given(values, st.data())
def test_damaged_bytes_are_a_value_or_refused(value: object, data: st.DataObject) -> None:
    """Neither does a real value with some of its bytes changed."""
    damaged = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(damaged))


@given(values, st.binary(min_size=1, max_size=20))
def test_bytes_after_the_value_are_refused(value: object, tail: bytes) -> None:
    """What follows a value is never ignored, not even another value or nothing-like bytes."""
    data = encode(value)
    for rest in (tail, b"\0", b"\xc0", data):
        assert not decodes_or_refuses(data + rest)


@given(values)
def test_a_cut_value_is_refused(value: object) -> None:
    """No beginning of a value is taken for the whole."""
    data = encode(value)
    assert not any(decodes_or_refuses(data[:length]) for length in range(len(data)))


def in_extensions(levels: int, payload: bytes, lists: int = 0) -> bytes:
    for _ in range(levels):
        inner = b"\x91" * lists + payload
        payload = b"\xc9" + len(inner).to_bytes(4, "big") + b"\x01" + inner  # a tuple with one value
    return payload


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 100_000 + b"\x01",
        b"\x81\xa1a" * 100_000 + b"\x01",
        in_extensions(10_000, b"\x91\x01"),
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff" * 1000,
        b"\xdd\x00\x0f\xff\xff" * 1000 + b"\x01" * 100_000,
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff\x00",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xc9\x00\x0f\x00\x00\x7f" + bytes(0xF0000),
        b"\xc9\x00\x0f\x00\x00\x0a" + b"9" * 0xEFFFF + b"x",
    ],
    ids=[
        "lists", "dicts", "extensions", "list length", "dict length", "list lengths", "long list lengths", "str length",
        "bytes length", "extension length", "huge unknown extension", "huge Decimal",
    ],
)  # fmt: skip
def test_bombs_are_refused_in_bounded_time_and_memory(data: bytes) -> None:
    """Depth of 100,000 and lengths that lie are refused at once, in memory no larger than what came in."""
    tracemalloc.start()
    started = clock.perf_counter()
    assert not decodes_or_refuses(data)
    took = clock.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 1.0
    assert peak < 20 * len(data) + 1_000_000


def test_no_bytes_overflow_the_stack() -> None:
    """The deepest bytes that are still read fit the stack of a thread (8 MiB), whatever Python's recursion limit."""
    script = (
        "import sys, threading; from coatcheck.codec import decode; sys.setrecursionlimit(10**6)\n"
        "data = sys.stdin.buffer.read(); threading.stack_size(8 << 20)\n"
        "thread = threading.Thread(target=lambda: print(type(decode(data)).__name__)); thread.start(); thread.join()"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        input=in_extensions(12, b"\x91\x01", lists=1020),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    ).stdout
    assert output.split() == [b"tuple"]


def test_a_key_without_a_value_is_refused() -> None:
    """A dict stored as pairs has a value for each key."""
    assert not decodes_or_refuses(b"\xc7\x02\x04\x91\x01")


def test_of_equal_keys_the_last_counts() -> None:
    """Bytes with a key twice are read as Python reads such a dict: the last one counts."""
    assert decode(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}
    assert decode(b"\xc7\x05\x04\x94\x01\x01\x01\x02") == {1: 2}


def test_a_missing_time_zone_is_named() -> None:
    """A machine without the time zone that a value has says which one, and what to install."""
    data = encode(datetime(2025, 1, 1, tzinfo=BERLIN)).replace(b"Europe/Berlin", b"Europe/Atlant")
    with pytest.raises(DecodeError, match="no time zone b'Europe/Atlant'; install the tzdata package"):
        decode(data)
