"""The types of fields as a filter compares them: how a value of each is written, and what can be asked of it."""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tablestakes.crud.declaration import likely
from tablestakes.crud.schema.codec.number import INTEGERS
from tablestakes.filter.error import FilterError
from tablestakes.filter.lexicon import literal

Read = Callable[[str, int], Any]
"""Reads a value as it is written, at a place in the filter counted from 0. It raises FilterError."""

EQUALITY = frozenset({"=", "!=", ":"})
ORDER = EQUALITY | {"<", "<=", ">", ">="}

_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?")
_DURATION = re.compile(r"([+-]?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?")

WRAPPER = re.compile(r"google\.protobuf\.[A-Za-z0-9]+Value")
MOST_DIGITS = 40


@dataclass(frozen=True)
class Kind:
    """A type.

    Attributes:
        name: For people: `number`.
        expected: How a value is written, for errors.
        operators: The operators that it has.
        read: Reads a value as the proto's field has it.
        is_text: Whether it is text, which has wildcards.
    """

    name: str
    expected: str
    operators: frozenset[str]
    read: Read
    is_text: bool = False


def wrong(expected: str, raw: str, position: int) -> FilterError:
    """Return the error of a value that is not of its field's type."""
    problem = f"{expected} was expected, and not {raw}."
    return FilterError(problem, position + 1, "FILTER_VALUE", {"expected": expected})


def _text(raw: str, position: int) -> str:
    return literal(raw, position)


A_TEXT = "a text"
A_NUMBER = "a number, without quotes,"
A_WHOLE_NUMBER = "a whole number, without quotes,"
A_BOOLEAN = "true or false, without quotes,"
A_TIMESTAMP = 'a time with its zone, such as "2026-01-31T12:00:00Z",'
A_DURATION = "a duration in seconds, such as 1.5s,"
A_DATE = 'a date, such as "2026-01-31",'
A_TIME = 'a time of day, such as "18:30:00",'


def _decimal(raw: str, position: int, expected: str) -> Decimal:
    if not _NUMBER.fullmatch(raw):
        raise wrong(expected, raw, position)
    try:
        return Decimal(raw)
    except InvalidOperation:
        raise wrong(expected, raw, position) from None


def _integer(field: FieldDescriptor) -> Read:
    least, greatest = INTEGERS[field.type]

    def read(raw: str, position: int) -> int:
        if raw.isascii() and raw.isdigit() and len(raw) <= MOST_DIGITS:
            number = int(raw)
        else:
            exact = _decimal(raw, position, A_WHOLE_NUMBER)
            # Before it is an integer: that of 1e9999 would have as many digits.
            if exact.adjusted() > MOST_DIGITS:
                raise _out_of_range(raw, position, least, greatest)
            if exact != exact.to_integral_value():
                raise wrong(A_WHOLE_NUMBER, raw, position)
            number = int(exact)
        if not least <= number <= greatest:
            raise _out_of_range(raw, position, least, greatest)
        return number

    return read


def _out_of_range(raw: str, position: int, least: Any, greatest: Any) -> FilterError:
    said = f"a number from {least} to {greatest}"
    return FilterError(f"{said} was expected, and not {raw}.", position + 1, "FILTER_VALUE", {"expected": said})


def read_double(raw: str, position: int) -> float:
    """Read a number of 64 bits."""
    if raw in ("Infinity", "-Infinity"):
        return float(raw)
    if not _NUMBER.fullmatch(raw):
        raise wrong(A_NUMBER, raw, position)
    number = float(raw)
    if number in (float("inf"), float("-inf")):
        problem = f"{raw} is greater than any number."
        raise FilterError(problem, position + 1, "FILTER_VALUE", {"expected": A_NUMBER})
    return number


def _float(raw: str, position: int) -> float:
    """Read a number as 32 bits keep it: what was written as 4.1 is kept as 4.099999904632568."""
    number = read_double(raw, position)
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise FilterError(
            f"{raw} is greater than any number of 32 bits.", position + 1, "FILTER_VALUE", {"expected": A_NUMBER}
        ) from None
    return rounded


BOOLEANS = {"true": True, "false": False}


def _boolean(raw: str, position: int) -> bool:
    if raw not in BOOLEANS:
        raise wrong(A_BOOLEAN, raw, position)
    return BOOLEANS[raw]


def _choice(choices: EnumDescriptor) -> Read:
    numbers = {value.name: value.number for value in choices.values}

    def read(raw: str, position: int) -> int:
        name = literal(raw, position)
        if name not in numbers:
            raise FilterError(
                f"{raw} is no value of {choices.name}; {likely(name, numbers)}",
                position + 1,
                "FILTER_VALUE",
                {"expected": ", ".join(sorted(numbers))},
            )
        return numbers[name]

    return read


def _timestamp(raw: str, position: int) -> Timestamp:
    found = _TIMESTAMP.fullmatch(literal(raw, position))
    if found is None:
        raise wrong(A_TIMESTAMP, raw, position)
    date, time, fraction, zone = found.groups()
    try:
        # Whole seconds: Python's own has no nanoseconds.
        instant = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}")
        since = instant - EPOCH
    except (ValueError, OverflowError):
        raise wrong(A_TIMESTAMP, raw, position) from None
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=int((fraction or "").ljust(9, "0")))


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _duration(raw: str, position: int) -> Duration:
    found = _DURATION.fullmatch(literal(raw, position))
    if found is None:
        raise wrong(A_DURATION, raw, position)
    sign = -1 if found[1] == "-" else 1
    return Duration(seconds=sign * int(found[2]), nanos=sign * int((found[3] or "").ljust(9, "0")))


def _date(field: FieldDescriptor) -> Read:
    make: Any = GetMessageClass(_message(field))

    def read(raw: str, position: int) -> Any:
        if (found := _DATE.fullmatch(literal(raw, position))) is None:
            raise wrong(A_DATE, raw, position)
        return make(year=int(found[1]), month=int(found[2]), day=int(found[3]))

    return read


def _time_of_day(field: FieldDescriptor) -> Read:
    make: Any = GetMessageClass(_message(field))

    def read(raw: str, position: int) -> Any:
        if (found := _TIME.fullmatch(literal(raw, position))) is None:
            raise wrong(A_TIME, raw, position)
        nanos = int((found[4] or "").ljust(9, "0"))
        return make(hours=int(found[1]), minutes=int(found[2]), seconds=int(found[3] or 0), nanos=nanos)

    return read


def _decimal_message(field: FieldDescriptor) -> Read:
    make: Any = GetMessageClass(_message(field))

    def read(raw: str, position: int) -> Any:
        _decimal(raw, position, A_NUMBER)
        return make(value=raw)

    return read


def _message(field: FieldDescriptor) -> Any:
    return field.message_type


TEXT = Kind("text", A_TEXT, ORDER, _text, is_text=True)
IDENTIFIER = Kind("id", A_TEXT, EQUALITY, _text)

SCALARS: Mapping[int, Kind] = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BOOL: Kind("boolean", A_BOOLEAN, EQUALITY, _boolean),
    FieldDescriptor.TYPE_DOUBLE: Kind("number", A_NUMBER, ORDER, read_double),
    FieldDescriptor.TYPE_FLOAT: Kind("number", A_NUMBER, ORDER, _float),
}

KNOWN: Mapping[str, Callable[[FieldDescriptor], Kind]] = {
    "google.protobuf.Timestamp": lambda _: Kind("timestamp", A_TIMESTAMP, ORDER, _timestamp),
    "google.protobuf.Duration": lambda _: Kind("duration", A_DURATION, ORDER, _duration),
    "google.type.Date": lambda field: Kind("date", A_DATE, ORDER, _date(field)),
    "google.type.TimeOfDay": lambda field: Kind("time of day", A_TIME, ORDER, _time_of_day(field)),
    "google.type.Decimal": lambda field: Kind("decimal", A_NUMBER, ORDER, _decimal_message(field)),
}


@lru_cache(maxsize=4096)
def kind_of(field: FieldDescriptor) -> Kind | None:
    """Return the type of a field, or of each value of a repeated one; None where no value can be written."""
    if field.message_type is not None:
        name = field.message_type.full_name
        if WRAPPER.fullmatch(name):
            return _wrapped(field)
        return KNOWN[name](field) if name in KNOWN else None
    if field.enum_type is not None:
        return Kind("enum", f"a value of {field.enum_type.name}", EQUALITY, _choice(field.enum_type))
    if field.type in INTEGERS:
        return Kind("whole number", A_WHOLE_NUMBER, ORDER, _integer(field))
    return SCALARS.get(field.type)


def _wrapped(field: FieldDescriptor) -> Kind | None:
    message = _message(field)
    value = message.fields_by_name.get("value")
    inner = kind_of(value) if value is not None and not message.GetOptions().map_entry else None
    if inner is None:
        return None
    make: Any = GetMessageClass(message)

    def read(raw: str, position: int) -> Any:
        return make(value=inner.read(raw, position))

    return Kind(inner.name, inner.expected, inner.operators, read, is_text=inner.is_text)
