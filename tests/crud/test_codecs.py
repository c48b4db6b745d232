"""Codecs: what crosses between a field and its column, and which types have no way between them."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, LargeBinary, MetaData, Numeric, String
from sqlalchemy import Table as SqlTable
from sqlalchemy.types import TypeEngine

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.codec import INSTANT, NUMBER, TEXT, Codec, codec_for
from tablestakes.errors import StatusError
from marketplace_service.models.declarative import Instant, LowerCase
from tests.crud.rejection import rejected
from tests.gadgets import gadget_pb2

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


def column(kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    """Return a column of a type, in a table."""
    made: Column[Any] = Column("kept", kind)
    SqlTable("shelf", MetaData(), made)
    return made


def codec(field: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Codec:
    """Return the codec of a gadget's field for a column of a type."""
    return codec_for(gadget_pb2.Gadget.DESCRIPTOR.fields_by_name[field], column(kind))


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
    assert codec("ratio", Float) is NUMBER


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


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("label", Integer),
        ("label", LargeBinary),
        ("label", DateTime),
        ("label", JSON),
        ("weight", String),
        ("weight", Boolean),
        ("weight", Float),
        ("level", Numeric),
        ("ratio", Integer),
        ("ratio", Numeric),
        ("blob", String),
        ("due_time", String),
        ("due_time", Integer),
        ("due_time", Date),
    ],
)
def test_types_that_do_not_fit_are_refused(field: str, kind: type[TypeEngine[Any]]) -> None:
    """A field and a column of types with no codec between them are a DeclarationError that names both."""
    with pytest.raises(DeclarationError) as caught:
        codec(field, kind)
    assert str(caught.value).startswith(
        f"gadget.v1.Gadget.{field} cannot be kept in the column shelf.kept: no codec"
    )
    assert kind.__name__.upper() in str(caught.value).upper()


def test_a_list_has_no_column() -> None:
    """A repeated field is a DeclarationError, also where its column would take one of its items."""
    field = gadget_pb2.ListGadgetsResponse.DESCRIPTOR.fields_by_name["gadgets"]
    with pytest.raises(DeclarationError, match=r"^gadget\.v1\.ListGadgetsResponse\.gadgets cannot be kept"):
        codec_for(field, column(String))


def test_a_decorated_column_counts_as_what_it_decorates() -> None:
    """A column whose type decorates another, or varies by database, has the codec of the plain type."""
    assert codec("label", LowerCase(20)) is codec("label", String(20)) is TEXT
    assert codec("due_time", Instant) is codec("due_time", DateTime(timezone=True)) is INSTANT
