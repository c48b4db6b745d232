"""Codecs of durations, dates, times of day and decimal numbers."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Date, Interval, Time
from sqlalchemy.dialects.postgresql import INTERVAL

from tablestakes.columns import FixedDecimal
from tablestakes.crud.schema.codec import Codec, codec_for
from tablestakes.errors import StatusError
from tests.crud.invalid_argument import rejected
from tests.crud.specimen import column, field, message_of

checked = settings(deadline=None, max_examples=200)

PATH = "specimen.field"
DURATION = codec_for(field("lasts"), column(Interval))
DATE = codec_for(field("date"), column(Date))
CLOCK = codec_for(field("clock"), column(Time))
DateMessage, TimeOfDay, DecimalMessage = (message_of(name) for name in ("date", "clock", "decimal"))

EARLIEST, LATEST = datetime.min - datetime(1970, 1, 1), datetime.max - datetime(1970, 1, 1)  # noqa: DTZ001, DTZ901
"""How far SQLite's column of durations reaches: its years 1 to 9999, from 1970."""


def stored(codec: Codec, value: Any) -> Any:
    """Return what the column takes for a message."""
    assert codec.to_column is not None
    return codec.to_column(value, PATH)


def shown(codec: Codec, value: Any) -> Any:
    """Return what the field takes for a column's value."""
    assert codec.to_message is not None
    return codec.to_message(value)


@checked
@given(st.timedeltas(EARLIEST, LATEST))
@example(EARLIEST)
@example(LATEST)
@example(timedelta(microseconds=-1))
def test_a_duration_is_what_protobuf_makes_of_it(value: timedelta) -> None:
    """A duration is shown as Duration itself would have it, and stored again it is the same."""
    expected = Duration()
    expected.FromTimedelta(value)
    assert shown(DURATION, value) == expected
    assert stored(DURATION, expected) == value


@checked
@given(st.integers(-(10**9), 10**9), st.integers(0, 999_999_999))
def test_a_duration_is_cut_to_the_microsecond(seconds: int, nanos: int) -> None:
    """A duration is stored to the microsecond, and what is cut off leaves it shorter and not longer."""
    nanos = -nanos if seconds < 0 else nanos
    kept = stored(DURATION, Duration(seconds=seconds, nanos=nanos))
    exact = Decimal(seconds) + Decimal(nanos) / 10**9
    found = Decimal(kept // timedelta(microseconds=1)) / 10**6
    assert abs(found) <= abs(exact) < abs(found) + Decimal("0.000001")


@checked
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
@example(1, -1)
@example(-1, 1)
@example(0, 10**9)
@example(0, -(10**9))
@example(315_576_000_000, 0)
@example(-315_576_000_000, 0)
@example(-(2**63), -(2**31))
def test_any_duration_is_stored_or_refused(seconds: int, nanos: int) -> None:
    """Whatever the seconds and nanos of a Duration, it is kept or it is INVALID_ARGUMENT on its path."""
    message = Duration(seconds=seconds, nanos=nanos)
    try:
        kept = stored(DURATION, message)
    except StatusError:
        assert rejected(PATH, stored, DURATION, message).reason == "DURATION_OUT_OF_RANGE"
        outside = not EARLIEST <= timedelta(seconds=max(-(10**12), min(seconds, 10**12))) <= LATEST
        assert outside or abs(nanos) >= 10**9 or seconds * nanos < 0
    else:
        assert EARLIEST <= kept <= LATEST


def test_a_duration_that_only_postgresql_would_keep_is_refused() -> None:
    """A duration beyond the reach of SQLite's column is INVALID_ARGUMENT, whichever database there is."""
    for codec in (DURATION, codec_for(field("lasts"), column(INTERVAL))):
        beyond = Duration(seconds=LATEST.days * 86_400 + 86_400)
        assert rejected(PATH, stored, codec, beyond).reason == "DURATION_OUT_OF_RANGE"


@checked
@given(st.dates())
@example(date.min)
@example(date.max)
def test_a_date_comes_back(value: date) -> None:
    """A date of any year is shown by its year, month and day, and stored again it is the same."""
    message = DateMessage(year=value.year, month=value.month, day=value.day)
    assert shown(DATE, value) == message
    assert stored(DATE, message) == value
    assert not isinstance(stored(DATE, message), datetime)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [
        (1990, 2, 31),
        (1900, 2, 29),
        (2023, 13, 1),
        (2023, 4, 0),
        (2023, 0, 0),
        (0, 12, 25),
        (0, 0, 0),
        (-1, 1, 1),
        (10_000, 1, 1),
        (2**31 - 1, 1, 1),
        (2000, -(2**31), 1),
    ],
)
def test_no_partial_and_no_impossible_date_is_kept(year: int, month: int, day: int) -> None:
    """A date that is not one whole day of the calendar is INVALID_ARGUMENT."""
    message = DateMessage(year=year, month=month, day=day)
    assert rejected(PATH, stored, DATE, message).reason == "INVALID_DATE"


@checked
@given(st.times(), st.integers(0, 999))
def test_a_time_of_day_is_kept_to_the_microsecond(value: time, beyond: int) -> None:
    """A time of day is stored to the microsecond before it, and shown as that."""
    nanos = value.microsecond * 1000
    parts = {"hours": value.hour, "minutes": value.minute, "seconds": value.second}
    assert stored(CLOCK, TimeOfDay(**parts, nanos=nanos + beyond)) == value
    assert shown(CLOCK, value) == TimeOfDay(**parts, nanos=nanos)


@pytest.mark.parametrize(
    "parts",
    [
        {"hours": 24},
        {"hours": -1},
        {"minutes": 60},
        {"seconds": 60},
        {"nanos": 10**9},
        {"nanos": -1},
        {"hours": 2**31 - 1},
    ],
)
def test_no_time_outside_of_a_day_is_kept(parts: dict[str, int]) -> None:
    """A time of day at 24:00, in a leap second or with a part that is out of range is INVALID_ARGUMENT."""
    assert rejected(PATH, stored, CLOCK, TimeOfDay(**parts)).reason == "INVALID_TIME_OF_DAY"


def decimal_codec(precision: int, scale: int) -> Codec:
    """Return the codec of decimal numbers for a column of so many digits and decimals."""
    return codec_for(field("decimal"), column(FixedDecimal(precision, scale)))


@checked
@given(st.integers(1, 18), st.data())
def test_a_decimal_within_its_column_comes_back(precision: int, data: st.DataObject) -> None:
    """A decimal with no more digits than its column has is stored exactly, and shown with the column's decimals."""
    scale = data.draw(st.integers(0, precision))
    units = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    digits = str(abs(units)).rjust(scale + 1, "0")
    # The text is put together by hand, so that no arithmetic of decimals is trusted.
    text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
    text = f"-{text}" if units < 0 else text
    codec = decimal_codec(precision, scale)
    kept = stored(codec, DecimalMessage(value=text))
    assert kept * 10**scale == units
    assert shown(codec, kept) == DecimalMessage(value=text)


@checked
@given(st.text("0123456789+-.eE_ ,naif\u0663", max_size=12))
@example("NaN")
@example("Infinity")
@example("-inf")
@example("1_000")
@example(" 1")
@example("1\n")
@example("\u0663")
@example("0x10")
@example(".")
@example("1e")
@example("9e999999999999999999999")
@example("9e-999999999999999999999")
@example("9" * 5000)
def test_any_text_is_an_exact_decimal_or_refused(text: str) -> None:
    """Whatever the text of a Decimal, what is stored is exactly its number, or it is INVALID_ARGUMENT."""
    message = DecimalMessage(value=text)
    codec = decimal_codec(9, 2)
    try:
        kept = stored(codec, message)
    except StatusError:
        told = rejected(PATH, stored, codec, message)
        assert told.reason in {"INVALID_DECIMAL", "TOO_MANY_DECIMALS", "VALUE_OUT_OF_RANGE"}
    else:
        assert kept == Decimal(text or "0")
        assert kept.as_tuple().exponent == -2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0.00"),
        ("-0", "0.00"),
        ("0e99999", "0.00"),
        ("+2.5", "2.50"),
        (".5", "0.50"),
        ("5.", "5.00"),
        ("1.500000", "1.50"),
        ("2.5e2", "250.00"),
        ("2500E-3", "2.50"),
        ("9999999.99", "9999999.99"),
        ("-9999999.99", "-9999999.99"),
    ],
)
def test_every_spelling_of_a_decimal_is_its_number(text: str, expected: str) -> None:
    """A decimal is kept however it is spelt, and shown with the column's decimals and without an exponent."""
    codec = decimal_codec(9, 2)
    assert shown(codec, stored(codec, DecimalMessage(value=text))) == DecimalMessage(value=expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.001", "TOO_MANY_DECIMALS"),
        ("1.999", "TOO_MANY_DECIMALS"),
        ("1e-9", "TOO_MANY_DECIMALS"),
        ("10000000", "VALUE_OUT_OF_RANGE"),
        ("9999999.995", "TOO_MANY_DECIMALS"),
        ("-1e8", "VALUE_OUT_OF_RANGE"),
        ("NaN", "INVALID_DECIMAL"),
        ("sNaN", "INVALID_DECIMAL"),
        ("Infinity", "INVALID_DECIMAL"),
        ("1,5", "INVALID_DECIMAL"),
        ("1 000", "INVALID_DECIMAL"),
    ],
)
def test_no_decimal_is_rounded(text: str, reason: str) -> None:
    """A decimal with more digits than its column has, or that is no number, is INVALID_ARGUMENT."""
    assert rejected(PATH, stored, decimal_codec(9, 2), DecimalMessage(value=text)).reason == reason


@checked
@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_a_small_decimal_is_shown_without_an_exponent(value: Decimal) -> None:
    """A decimal is shown in digits alone, where Python would write an exponent."""
    assume(abs(value) < 1)
    text = shown(decimal_codec(18, 8), value.quantize(Decimal("1e-8"))).value
    assert "E" not in text
    assert Decimal(text) == value
