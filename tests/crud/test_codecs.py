"""Codecs: what crosses between a field and its column, and which types have no way between them."""

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Time,
)
from sqlalchemy.dialects.postgresql import HSTORE
from sqlalchemy.types import NullType, TypeEngine

from tablestakes.columns import FixedDecimal, Instant, LowerCase
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.codec import Codec, CodecFor, codec_for, python_type
from tablestakes.crud.schema.codec.moment import INSTANT
from tablestakes.crud.schema.codec.number import NUMBER
from tablestakes.crud.schema.codec.text import TEXT
from tablestakes.errors import StatusError
from tests.crud.invalid_argument import rejected
from tests.crud.specimen import Specimen, column, field

FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The seconds of the years 1 and 9999, by Timestamp's own definition."""

WITHIN = st.integers(FIRST, LAST)
NANOS = st.integers(0, 999_999_999)
NEAR_THE_ENDS = st.builds(lambda end, away: end + away, st.sampled_from([FIRST, LAST, 0]), st.integers(-5, 5))

checked = settings(deadline=None, max_examples=200)


def stored(message: Timestamp, path: str = "gadget.due_time") -> Any:
    """Return what the column of a Timestamp takes."""
    assert INSTANT.to_column is not None
    return INSTANT.to_column(message, path)


def shown(value: datetime) -> Any:
    """Return what the field of a datetime takes."""
    assert INSTANT.to_message is not None
    return INSTANT.to_message(value)


def codec(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Codec:
    """Return the codec of a specimen's field for a column of a type."""
    return codec_for(field(name), column(kind))


def refusal(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> str:
    """Return what is told of a field that a column of a type must not keep."""
    with pytest.raises(DeclarationError) as caught:
        codec(name, kind)
    start = f"specimen.v1.Specimen.{name} cannot be kept in the column shelf.kept: no codec between "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


@checked
@given(st.datetimes(timezones=st.just(UTC)))
@example(datetime.min.replace(tzinfo=UTC))
@example(datetime.max.replace(tzinfo=UTC))
@example(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC))
def test_an_instant_comes_back_to_the_microsecond(value: datetime) -> None:
    """A datetime of any year, shown and stored again, is the same."""
    assert stored(shown(value)) == value


@checked
@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_what_protobuf_makes_of_it(value: datetime) -> None:
    """A datetime is shown as Timestamp itself would have it, with nanos that count forward before 1970 too."""
    expected = Timestamp()
    expected.FromDatetime(value)
    assert shown(value) == expected
    assert 0 <= shown(value).nanos < 1_000_000_000


@checked
@given(
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
)
def test_an_instant_is_the_same_in_every_zone(value: datetime, offset: timedelta) -> None:
    """A datetime with another offset is shown as the instant that it is."""
    assume(2 <= value.year <= 9998)
    here = value.replace(tzinfo=timezone(offset))
    assert stored(shown(here)) == here


@checked
@given(WITHIN | NEAR_THE_ENDS, NANOS)
def test_an_instant_is_cut_to_the_microsecond(seconds: int, nanos: int) -> None:
    """A Timestamp of the years 1 to 9999 is stored to the microsecond before it, in UTC."""
    assume(FIRST <= seconds <= LAST)
    value = stored(Timestamp(seconds=seconds, nanos=nanos))
    assert value.utcoffset() == timedelta(0)
    assert shown(value) == Timestamp(seconds=seconds, nanos=nanos - nanos % 1000)


@checked
@given(
    st.integers(-(2**63), 2**63 - 1) | WITHIN | NEAR_THE_ENDS,
    st.integers(-(2**31), 2**31 - 1) | NANOS | st.sampled_from([-1, 10**9, -(2**31), 2**31 - 1]),
    st.sampled_from(["gadget.due_time", "user.x"]),
)
@example(FIRST, -1, "gadget.due_time")
@example(LAST, 10**9, "gadget.due_time")
@example(-(2**63), -(2**31), "gadget.due_time")
@example(2**63 - 1, 2**31 - 1, "gadget.due_time")
def test_any_timestamp_is_stored_or_refused_by_its_path(seconds: int, nanos: int, path: str) -> None:
    """Whatever the seconds and nanos of a Timestamp, it is an instant or INVALID_ARGUMENT on its path."""
    message = Timestamp(seconds=seconds, nanos=nanos)
    try:
        value = stored(message, path)
    except StatusError:
        rejected(path, stored, message, path)
        assert not (FIRST <= seconds <= LAST and 0 <= nanos < 10**9)
    else:
        assert isinstance(value, datetime)
        assert FIRST <= seconds <= LAST
        assert 0 <= nanos < 10**9


@checked
@given(st.integers(LAST + 1, 2**63 - 1) | st.integers(-(2**63), FIRST - 1), NANOS)
@example(LAST + 1, 0)
@example(FIRST - 1, 999_999_999)
def test_no_year_but_1_to_9999_is_stored(seconds: int, nanos: int) -> None:
    """A Timestamp outside of the years 1 to 9999 is INVALID_ARGUMENT."""
    told = rejected("gadget.due_time", stored, Timestamp(seconds=seconds, nanos=nanos))
    assert told.reason == "TIMESTAMP_OUT_OF_RANGE"


@checked
@given(WITHIN, st.integers(10**9, 2**31 - 1) | st.integers(-(2**31), -1))
@example(0, -1)
@example(0, 10**9)
def test_no_nanos_but_a_seconds_are_stored(seconds: int, nanos: int) -> None:
    """A Timestamp whose nanos are below zero, or a second and more, is INVALID_ARGUMENT."""
    told = rejected("gadget.due_time", stored, Timestamp(seconds=seconds, nanos=nanos))
    assert told.reason == "TIMESTAMP_OUT_OF_RANGE"


@checked
@given(st.floats(allow_nan=False))
@example(math.inf)
@example(-0.0)
def test_a_number_is_kept_as_it_is(value: float) -> None:
    """A number, also an infinite one, is stored as it is."""
    assert NUMBER.to_column is not None
    assert NUMBER.to_column(value, "gadget.ratio") is value


def test_what_is_not_a_number_is_refused_by_its_path() -> None:
    """NaN is INVALID_ARGUMENT on its path."""
    assert NUMBER.to_column is not None
    told = rejected("gadget.ratio", NUMBER.to_column, math.nan, "gadget.ratio")
    assert told.reason == "NOT_A_NUMBER"
    assert codec("a_double", Float) is NUMBER


@checked
@given(st.text(max_size=50), st.text(max_size=50), st.booleans())
def test_text_is_kept_as_it_is_unless_it_has_a_nul(before: str, after: str, broken: bool) -> None:
    """Text of any characters is stored as it is, and with a NUL among them it is INVALID_ARGUMENT on its path."""
    assert TEXT.to_column is not None
    text = f"{before}\0{after}" if broken else f"{before}{after}"
    if "\0" in text:
        assert rejected("user.full_name", TEXT.to_column, text, "user.full_name").reason == "NUL_CHARACTER"
    else:
        assert TEXT.to_column(text, "user.full_name") == text


def test_a_zone_that_sqlite_lost_is_utc() -> None:
    """A datetime without a zone, as SQLite gives it without the variant, is shown as one in UTC."""
    assert shown(datetime(1970, 1, 1, 0, 0, 1)) == Timestamp(seconds=1)  # noqa: DTZ001 - the point of it


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("text", Integer(), "string and Integer(); use String"),
        ("text", LargeBinary(), "string and LargeBinary(); use String"),
        ("text", DateTime(), "string and DateTime(); use String"),
        ("text", JSON(), "string and JSON(); use String"),
        ("text", ARRAY(String()), "string and ARRAY(String()); use String"),
        ("a_int64", String(), "int64 and String(); use BigInteger"),
        ("a_int64", Boolean(), "int64 and Boolean(); use BigInteger"),
        ("a_int64", Float(), "int64 and Float(); use BigInteger"),
        ("a_int32", Numeric(), "int32 and Numeric(); use Integer"),
        ("a_double", Integer(), "double and Integer(); use Double"),
        ("a_double", Numeric(), "double and Numeric(); use Double"),
        ("a_double", REAL(), "double and REAL(); use Double"),
        ("a_double", Float(24), "double and Float(precision=24); use Double"),
        ("data", String(), "bytes and String(); use LargeBinary"),
        ("flag", Integer(), "bool and Integer(); use Boolean"),
        ("w_uint32", Boolean(), "google.protobuf.UInt32Value and Boolean(); use BigInteger"),
        ("color", DateTime(), "specimen.v1.Color and DateTime(); use String(13) or longer"),
        ("color", String(8), "specimen.v1.Color and String(length=8); use String(13) or longer"),
        ("color", Enum("COLOR_RED"), "specimen.v1.Color and Enum('COLOR_RED'); the column lacks"),
        ("far", SmallInteger(), "specimen.v1.Far and SmallInteger(); use String(8) or longer"),
        ("time", String(), "google.protobuf.Timestamp and String(); use DateTime(timezone=True)"),
        ("time", Date(), "google.protobuf.Timestamp and Date(); use DateTime(timezone=True)"),
        ("time", DateTime(), "google.protobuf.Timestamp and DateTime(); use DateTime(timezone=True)"),
        ("lasts", Integer(), "google.protobuf.Duration and Integer(); use Interval"),
        ("date", DateTime(), "google.type.Date and DateTime(); use Date"),
        ("clock", Time(timezone=True), "google.type.TimeOfDay and Time(timezone=True); use Time, without a time"),
        ("decimal", Numeric(9, 2), "google.type.Decimal and Numeric(precision=9, scale=2); use tablestakes.Fixed"),
        ("money", BigInteger(), "google.type.Money and BigInteger(); use tablestakes.Document"),
        ("part", String(), "specimen.v1.Part and String(); use tablestakes.Document"),
        ("texts", String(), "repeated string and String(); use tablestakes.Document, or ARRAY on PostgreSQL"),
        ("texts", ARRAY(Integer()), "repeated string and ARRAY(Integer()); use tablestakes.Document"),
        ("texts", ARRAY(String(), dimensions=2), "repeated string and ARRAY(String(), dimensions=2); use table"),
        ("datas", ARRAY(LargeBinary()).with_variant(JSON(), "sqlite"), "repeated bytes and ARRAY(LargeBinary())"),
        ("labels", String(), "map<string, string> and String(); use tablestakes.Document"),
        ("by_number", String(), "map<int64, specimen.v1.Part> and String(); use tablestakes.Document"),
        ("any", JSON(), "google.protobuf.Any and JSON(); google.protobuf.Any has no column"),
        ("anys", JSON(), "repeated google.protobuf.Any and JSON(); google.protobuf.Any has no column"),
        ("suitcase", JSON(), "specimen.v1.Suitcase and JSON(); google.protobuf.Any has no column"),
        ("suitcases", JSON(), "map<string, specimen.v1.Suitcase> and JSON(); google.protobuf.Any has no column"),
    ],
)
def test_types_that_do_not_fit_are_refused(name: str, kind: TypeEngine[Any], told: str) -> None:
    """A field and a column with no codec between them are a DeclarationError with both types and a likely fix."""
    assert refusal(name, kind).startswith(told)


def test_money_is_told_that_it_has_no_single_column() -> None:
    """An amount with its currency is told that one column cannot keep it, and what can."""
    assert refusal("money", FixedDecimal(18, 2)).endswith(
        "use tablestakes.Document, or columns of its parts: an amount and its currency have no single column"
    )


@pytest.mark.parametrize("kind", [String(), Integer(), Numeric(), NullType(), HSTORE(), ARRAY(Integer())])
def test_every_field_has_a_codec_or_a_hint(kind: TypeEngine[Any]) -> None:
    """Whatever the field and the column, there is a codec between them or a DeclarationError with a fix."""
    told = []
    for each in Specimen.DESCRIPTOR.fields:
        try:
            codec_for(each, column(kind))
        except DeclarationError as error:
            told.append(str(error))
    assert told
    assert all("; " in text for text in told)


def test_a_decorated_column_counts_as_what_it_decorates() -> None:
    """A column whose type decorates another, or varies by database, has the codec of the plain type."""
    assert codec("text", LowerCase(20)) is codec("text", String(20)) is TEXT
    assert codec("time", Instant) is codec("time", DateTime(timezone=True)) is INSTANT
    assert python_type(column(LowerCase(20))) is str
    assert python_type(column(Interval())) is timedelta
    assert python_type(column(FixedDecimal(9, 2))) is Decimal


def test_a_service_is_asked_for_its_own_codecs_first() -> None:
    """The first of a service's own codecs that knows a field and its column has it, before any of the engine's."""
    first, second = Codec(to_column=lambda value, _: value), Codec()
    asked: list[str] = []

    def knows(codec: Codec | None, name: str) -> CodecFor:
        def codec_of(found: FieldDescriptor, kept: Column[Any]) -> Codec | None:
            asked.append(name)
            assert (found, kept) == (field("text"), shelf)
            return codec

        return codec_of

    shelf = column(String)
    own = [knows(None, "nothing"), knows(first, "first"), knows(second, "second")]
    assert codec_for(field("text"), shelf, own) is first
    assert asked == ["nothing", "first"]
    assert codec_for(field("text"), shelf, [knows(None, "nothing")]) is TEXT


def test_a_service_may_keep_what_the_engine_does_not() -> None:
    """A pair of types that the engine has no codec for is kept by a service's own."""
    own = Codec(str, lambda value, _: int(value))
    assert codec_for(field("text"), column(Integer), [lambda _field, _column: own]) is own
