"""Codecs of messages, lists and maps in columns of JSON, and of lists in arrays."""

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import ARRAY, JSON, BigInteger, Boolean, Double, LargeBinary, String, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from tablestakes.columns import Document, Instant
from tablestakes.crud.schema.codec import Codec, codec_for
from tests.crud.invalid_argument import rejected
from tests.crud.specimen import Part, Specimen, column, field, message_of

checked = settings(deadline=None, max_examples=100)

PATH = "specimen.field"
NUL = "a\0b"


def codec(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]] = Document, **options: Any) -> Codec:
    """Return the codec of a specimen's field for a column of a type."""
    return codec_for(field(name), column(kind, **options))


def stored(name: str, value: Any, kind: TypeEngine[Any] | type[TypeEngine[Any]] = Document) -> Any:
    """Return what the column takes for a field's value."""
    convert = codec(name, kind).to_column
    assert convert is not None
    return convert(getattr(Specimen(**{name: value}), name), PATH)


def shown(name: str, kept: Any, kind: TypeEngine[Any] | type[TypeEngine[Any]] = Document) -> Any:
    """Return the specimen whose field is what the column kept."""
    convert = codec(name, kind).to_message
    return Specimen(**{name: convert(kept) if convert else kept})


def value_of(plain: Any) -> struct_pb2.Value:
    """Return the Value of what JSON has."""
    values = struct_pb2.ListValue()
    values.extend([plain])
    return values.values[0]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab\u00e9\u20ac"\\', max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text('ab."', max_size=3), inside, max_size=3),
    max_leaves=8,
)

WHOLE = {
    "text": "text",
    "color": "COLOR_RED",
    "count": str(2**63 - 1),
    "size": 0.5,
    "data": base64.b64encode(b"\0\xff").decode(),
    "flag": False,
    "time": "2001-09-09T01:46:40.000000001Z",
    "lasts": "-1.500s",
    "value": {"a": [None, 1.5]},
    "money": {"currency_code": "EUR", "units": "12", "nanos": 500_000_000},
    "part": {},
    "parts": [{"text": "inside"}, {}],
    "by_name": {"one": {"color": "COLOR_BLUE"}},
    "texts": ["", "a"],
    "mask": "a,oneTwo",
    "labels": {"b": "c"},
    "colors": ["COLOR_UNSPECIFIED", "COLOR_BLUE"],
    "wrapped": "",
    "this_one": "",
}
"""A whole Part as protobuf's JSON has it, with the proto's own names: written by hand, from its documentation."""


def whole() -> Any:
    """Return the same Part, put together field by field."""
    part = Part(text="text", color=1, count=2**63 - 1, size=0.5, data=b"\0\xff", flag=False, this_one="")
    part.time.FromNanoseconds(10**18 + 1)
    part.lasts.FromMilliseconds(-1500)
    part.value.CopyFrom(value_of({"a": [None, 1.5]}))
    part.money.currency_code, part.money.units, part.money.nanos = "EUR", 12, 500_000_000
    part.part.SetInParent()
    part.parts.extend([Part(text="inside"), Part()])
    part.by_name["one"].color = 2
    part.texts.extend(["", "a"])
    part.mask.paths.extend(["a", "one_two"])
    part.labels["b"] = "c"
    part.colors.extend([0, 2])
    part.wrapped.SetInParent()
    return part


@pytest.mark.parametrize("kind", [Document, JSON(), JSONB()])
def test_a_message_is_kept_as_its_json(kind: TypeEngine[Any]) -> None:
    """A message is kept as protobuf's JSON with the proto's own names, enums by name, and comes back whole."""
    assert stored("part", whole(), kind) == WHOLE
    assert shown("part", WHOLE, kind) == Specimen(part=whole())


def test_money_and_places_are_kept_as_their_parts() -> None:
    """Google's common types of several parts are kept as a JSON object of them."""
    money = message_of("money")(currency_code="USD", units=-1, nanos=-750_000_000)
    assert stored("money", money) == {"currency_code": "USD", "units": "-1", "nanos": -750_000_000}
    place = message_of("place")(latitude=-33.5, longitude=151.25)
    assert stored("place", place) == {"latitude": -33.5, "longitude": 151.25}
    assert shown("place", {"latitude": -33.5, "longitude": 151.25}) == Specimen(place=place)
    partial = message_of("date")(year=1990, month=2)
    assert shown("date", stored("date", partial)) == Specimen(date=partial)


@checked
@given(JSON_VALUES)
def test_json_in_a_message_is_the_json_in_the_column(plain: Any) -> None:
    """A Value, a ListValue and a Struct are kept as the JSON that they stand for."""
    value = value_of(plain)
    assert json.dumps(stored("value", value), sort_keys=True) == json.dumps(plain, sort_keys=True)
    listed = struct_pb2.ListValue(values=[value])
    assert stored("list", listed) == [plain]
    assert shown("list", [plain]) == Specimen(list=listed)
    struct = struct_pb2.Struct(fields={"a": value})
    assert stored("struct", struct) == {"a": plain}
    assert shown("struct", {"a": plain}) == Specimen(struct=struct)


def test_a_null_value_is_null_where_a_column_takes_it() -> None:
    """A Value of null is NULL in a column that takes one, and the JSON null in a column that does not."""
    null = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    assert stored("value", null) is None
    convert = codec("value", Document, nullable=False).to_column
    assert convert is not None
    assert convert(null, PATH) is JSON.NULL


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("texts", ["b", "", "a"], ["b", "", "a"]),
        ("texts", [], []),
        ("numbers", [2**63 - 1, -(2**63), 0], [2**63 - 1, -(2**63), 0]),
        ("naturals", [2**64 - 1], [2**64 - 1]),
        ("sizes", [0.1, math.inf, -math.inf], [0.1, "Infinity", "-Infinity"]),
        ("flags", [True, False], [True, False]),
        ("datas", [b"\0\xff", b""], ["AP8=", ""]),
        ("colors", [0, 2, 1], ["COLOR_UNSPECIFIED", "COLOR_BLUE", "COLOR_RED"]),
        ("parts", [Part(text="a"), Part()], [{"text": "a"}, {}]),
        ("times", [Timestamp(seconds=1, nanos=1)], ["1970-01-01T00:00:01.000000001Z"]),
        ("values", [value_of(None), value_of([1.5])], [None, [1.5]]),
        ("labels", {"b": "x", "a": ""}, {"a": "", "b": "x"}),
        ("labels", {}, {}),
        ("by_number", {-(2**63): Part(text="a"), 7: Part()}, {str(-(2**63)): {"text": "a"}, "7": {}}),
        ("by_flag", {True: 1, False: 0}, {"false": "COLOR_UNSPECIFIED", "true": "COLOR_RED"}),
    ],
)
def test_lists_and_maps_are_kept_as_json(name: str, value: Any, kept: Any) -> None:
    """A repeated field is kept as a JSON array and a map as an object, empty ones too, and each comes back."""
    assert stored(name, value) == kept
    assert json.loads(json.dumps(kept)) == kept
    assert shown(name, kept) == Specimen(**{name: value})


def test_a_map_is_kept_in_the_order_of_its_keys() -> None:
    """A map's keys are kept in order, so that equal maps are equal text in SQLite."""
    one, other = {str(number): "" for number in range(50)}, {str(number): "" for number in reversed(range(50))}
    assert list(stored("labels", one)) == list(stored("labels", other)) == sorted(one)


@pytest.mark.parametrize(
    ("name", "kind", "value", "kept"),
    [
        ("texts", ARRAY(String()), ["b", "a"], ["b", "a"]),
        ("texts", ARRAY(String()).with_variant(JSON(), "sqlite"), [], []),
        ("numbers", ARRAY(BigInteger()), [1, -1], [1, -1]),
        ("sizes", ARRAY(Double()), [math.inf], [math.inf]),
        ("flags", ARRAY(Boolean()), [True], [True]),
        ("datas", ARRAY(LargeBinary()), [b"\0"], [b"\0"]),
        ("colors", ARRAY(String()), [2], ["COLOR_BLUE"]),
        ("colors", ARRAY(BigInteger()), [2], [2]),
    ],
)
def test_lists_are_kept_as_arrays(name: str, kind: TypeEngine[Any], value: list[Any], kept: list[Any]) -> None:
    """A repeated field is kept in an array as each of its values is in a column, and comes back."""
    found = stored(name, value, kind)
    assert found == kept
    assert type(found) is list
    assert shown(name, kept, kind) == Specimen(**{name: value})


def test_instants_are_kept_in_an_array() -> None:
    """A list of timestamps is kept in an array of instants."""
    times = [Timestamp(seconds=1), Timestamp(seconds=-1, nanos=1000)]
    assert shown("times", stored("times", times, ARRAY(Instant)), ARRAY(Instant)) == Specimen(times=times)


def deep(**fields: Any) -> Any:
    """Return a part with a part inside, in which some fields are set."""
    return Part(parts=[Part(), Part(part=Part(**fields))])


@pytest.mark.parametrize(
    ("name", "value", "below", "reason"),
    [
        ("texts", ["a", NUL], "[1]", "NUL_CHARACTER"),
        ("labels", {"a": NUL}, '["a"]', "NUL_CHARACTER"),
        ("labels", {NUL: "a"}, "", "NUL_CHARACTER"),
        ("sizes", [math.nan], "[0]", "NOT_A_NUMBER"),
        ("colors", [1, 3], "[1]", "UNKNOWN_ENUM_VALUE"),
        ("by_flag", {True: 3}, "[true]", "UNKNOWN_ENUM_VALUE"),
        ("by_number", {5: Part(text=NUL)}, "[5].text", "NUL_CHARACTER"),
        ("parts", [Part(), Part(color=3)], "[1].color", "UNKNOWN_ENUM_VALUE"),
        ("part", deep(text=NUL), ".parts[1].part.text", "NUL_CHARACTER"),
        ("part", deep(color=3), ".parts[1].part.color", "UNKNOWN_ENUM_VALUE"),
        ("part", deep(colors=[0, -1]), ".parts[1].part.colors[1]", "UNKNOWN_ENUM_VALUE"),
        ("part", deep(texts=["", NUL]), ".parts[1].part.texts[1]", "NUL_CHARACTER"),
        ("part", deep(labels={"k": NUL}), '.parts[1].part.labels["k"]', "NUL_CHARACTER"),
        ("part", deep(labels={NUL: ""}), ".parts[1].part.labels", "NUL_CHARACTER"),
        ("part", deep(by_name={'"': Part(text=NUL)}), '.parts[1].part.by_name["\\""].text', "NUL_CHARACTER"),
        ("part", deep(this_one=NUL), ".parts[1].part.this_one", "NUL_CHARACTER"),
        ("part", deep(size=math.nan), ".parts[1].part.size", "NOT_A_NUMBER"),
        ("part", deep(ratio=math.nan), ".parts[1].part.ratio", "NOT_A_NUMBER"),
        ("part", deep(ratio=3.4028234663852886e38), ".parts[1].part.ratio", "VALUE_OUT_OF_RANGE"),
        ("part", deep(ratio=-3.4028234663852886e38), ".parts[1].part.ratio", "VALUE_OUT_OF_RANGE"),
        ("part", deep(time=Timestamp(nanos=-1)), ".parts[1].part.time", "TIMESTAMP_OUT_OF_RANGE"),
        ("part", deep(time=Timestamp(seconds=10**12)), ".parts[1].part.time", "TIMESTAMP_OUT_OF_RANGE"),
        ("part", deep(lasts={"seconds": 1, "nanos": -1}), ".parts[1].part.lasts", "DURATION_OUT_OF_RANGE"),
        ("part", deep(lasts={"seconds": 10**12}), ".parts[1].part.lasts", "DURATION_OUT_OF_RANGE"),
        ("part", deep(money={"currency_code": NUL}), ".parts[1].part.money.currency_code", "NUL_CHARACTER"),
        ("part", deep(wrapped={"value": NUL}), ".parts[1].part.wrapped.value", "NUL_CHARACTER"),
        ("part", deep(value=value_of({"a": [1, NUL]})), '.parts[1].part.value["a"][1]', "NUL_CHARACTER"),
        ("part", deep(mask={"paths": ["Odd_Path"]}), "", "NOT_JSON"),
        ("times", [Timestamp(), Timestamp(nanos=-1)], "[1]", "TIMESTAMP_OUT_OF_RANGE"),
        ("struct", struct_pb2.Struct(fields={"a": value_of(NUL)}), '["a"]', "NUL_CHARACTER"),
        ("struct", struct_pb2.Struct(fields={NUL: value_of(1)}), "", "NUL_CHARACTER"),
        ("struct", struct_pb2.Struct(fields={"a": value_of({"b": [math.inf]})}), '["a"]["b"][0]', "NOT_A_NUMBER"),
        ("value", value_of(math.nan), "", "NOT_A_NUMBER"),
        ("list", struct_pb2.ListValue(values=[value_of(-math.inf)]), "[0]", "NOT_A_NUMBER"),
    ],
)
def test_what_json_does_not_keep_is_refused_by_its_path(name: str, value: Any, below: str, reason: str) -> None:
    """A NUL, NaN, an unknown enum or an impossible moment is INVALID_ARGUMENT on its path, however deep it is."""
    assert rejected(f"{PATH}{below}", stored, name, value).reason == reason


@pytest.mark.parametrize(
    ("name", "kind", "value", "below", "reason"),
    [
        ("texts", ARRAY(String()), ["a", NUL], "[1]", "NUL_CHARACTER"),
        ("texts", ARRAY(Uuid()), ["a"], "[0]", "INVALID_UUID"),
        ("texts", ARRAY(Uuid()), [""], "[0]", "INVALID_UUID"),
        ("sizes", ARRAY(Double()), [0.0, math.nan], "[1]", "NOT_A_NUMBER"),
        ("naturals", ARRAY(BigInteger()), [0, 2**63], "[1]", "VALUE_OUT_OF_RANGE"),
        ("colors", ARRAY(String()), [3], "[0]", "UNKNOWN_ENUM_VALUE"),
    ],
)
def test_what_an_array_does_not_keep_is_refused_by_its_path(
    name: str, kind: TypeEngine[Any], value: list[Any], below: str, reason: str
) -> None:
    """A value that an array's column would not take is INVALID_ARGUMENT with its place in the list."""
    assert rejected(f"{PATH}{below}", stored, name, value, kind).reason == reason


@pytest.mark.parametrize("ratio", [3.4028232635611926e38, -3.4028232635611926e38, math.inf, 1e-45])
def test_every_other_float_in_a_message_comes_back(ratio: float) -> None:
    """A float inside of a message comes back to the bit, up to the one before the greatest, and infinity too."""
    part = Part(ratio=ratio)
    assert shown("part", json.loads(json.dumps(stored("part", part)))) == Specimen(part=part)


def test_a_field_that_the_proto_no_longer_has_is_passed_over() -> None:
    """A row that was written when the message had more fields, and an enum more values, is still read."""
    kept = {"text": "a", "removed": {"deep": 1}, "color": "COLOR_REMOVED"}
    assert shown("part", kept) == Specimen(part=Part(text="a"))


def test_a_message_as_deep_as_a_wire_allows_is_kept() -> None:
    """A message nested as deeply as protobuf's parser takes comes back whole."""
    part = Part(text="in the middle")
    for _ in range(97):
        part = Part(part=part)
    specimen = Specimen.FromString(Specimen(part=part).SerializeToString())
    assert shown("part", stored("part", specimen.part)) == specimen


def test_a_column_decides_and_not_the_message() -> None:
    """A moment in a column of JSON is kept as its JSON, to the nanosecond."""
    time = Timestamp(seconds=1, nanos=1)
    assert stored("time", time) == "1970-01-01T00:00:01.000000001Z"
    assert shown("time", "1970-01-01T00:00:01.000000001Z") == Specimen(time=time)
