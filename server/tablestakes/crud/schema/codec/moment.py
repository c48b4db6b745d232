"""Instants, durations, dates and times of day."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tablestakes.crud.schema.codec.crossing import Codec
from tablestakes.errors import invalid_field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH = EPOCH.replace(tzinfo=None)
NANOS_IN_SECOND = 1_000_000_000

LONGEST_SECONDS = 315_576_000_000
"""The seconds of the longest Duration, by its own definition: 10,000 years."""

# SQLite's column of durations counts from the epoch, in years from 1 to 9999; PostgreSQL's reaches further.
SHORTEST, LONGEST = datetime.min.replace(tzinfo=UTC) - EPOCH, datetime.max.replace(tzinfo=UTC) - EPOCH
MICROSECOND = timedelta(microseconds=1)


def _timestamp(value: datetime) -> Timestamp:
    # By hand, at half the cost of Timestamp.FromDatetime, which is most of the cost of a page of rows.
    try:
        since = value - EPOCH
    except TypeError:
        # A plain DateTime(timezone=True) of SQLite, where what is written is in UTC and the zone is lost.
        since = value - NAIVE_EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def _datetime(value: Timestamp, path: str) -> datetime:
    if not 0 <= value.nanos < NANOS_IN_SECOND:
        raise invalid_field(path, "must have nanos from 0 to 999,999,999.", "TIMESTAMP_OUT_OF_RANGE")
    try:
        return EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    except OverflowError:
        raise invalid_field(path, "must lie in the years 1 to 9999.", "TIMESTAMP_OUT_OF_RANGE") from None


INSTANT = Codec(_timestamp, _datetime)


def _duration(value: timedelta) -> Duration:
    micros = value // MICROSECOND
    sign = -1 if micros < 0 else 1
    # Both count away from zero, where Python's parts all but the days count forward.
    seconds, micros = divmod(abs(micros), 1_000_000)
    return Duration(seconds=sign * seconds, nanos=sign * micros * 1000)


def require_duration(value: Duration, path: str) -> None:
    """Refuse what is no duration by protobuf's own definition.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if abs(value.nanos) >= NANOS_IN_SECOND:
        raise invalid_field(path, "must have nanos from -999,999,999 to 999,999,999.", "DURATION_OUT_OF_RANGE")
    if value.seconds * value.nanos < 0:
        raise invalid_field(path, "must have seconds and nanos of the same sign.", "DURATION_OUT_OF_RANGE")
    if abs(value.seconds) > LONGEST_SECONDS:
        raise invalid_field(path, "must be at most 10,000 years long.", "DURATION_OUT_OF_RANGE")


def _timedelta(value: Duration, path: str) -> timedelta:
    require_duration(value, path)
    micros = abs(value.nanos) // 1000
    found = timedelta(seconds=value.seconds, microseconds=-micros if value.nanos < 0 else micros)
    if not SHORTEST <= found <= LONGEST:
        said = f"must be from {SHORTEST.days} to {LONGEST.days} days long."
        raise invalid_field(path, said, "DURATION_OUT_OF_RANGE")
    return found


DURATION = Codec(_duration, _timedelta)


def day(message: type[Message]) -> Codec:
    """Return how a google.type.Date is kept: as a whole date, for a column has no year without a day."""

    def to_message(value: date) -> Message:
        return message(year=value.year, month=value.month, day=value.day)

    def to_column(value: Any, path: str) -> date:
        try:
            return date(value.year, value.month, value.day)
        except (ValueError, OverflowError):
            said = "must be a date of the calendar, with its year, month and day."
            raise invalid_field(path, said, "INVALID_DATE") from None

    return Codec(to_message, to_column)


def time_of_day(message: type[Message]) -> Codec:
    """Return how a google.type.TimeOfDay is kept: to the microsecond, without leap seconds and without 24:00."""

    def to_message(value: time) -> Message:
        return message(hours=value.hour, minutes=value.minute, seconds=value.second, nanos=value.microsecond * 1000)

    def to_column(value: Any, path: str) -> time:
        try:
            # The nanos of a whole second are too many microseconds, and those below zero too few.
            return time(value.hours, value.minutes, value.seconds, value.nanos // 1000)
        except (ValueError, OverflowError):
            raise invalid_field(
                path, "must be from 00:00:00 to 23:59:59.999999999.", "INVALID_TIME_OF_DAY"
            ) from None

    return Codec(to_message, to_column)
