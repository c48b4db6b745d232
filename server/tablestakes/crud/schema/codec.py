"""Between the type of a field and the type of its column."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Column
from sqlalchemy.types import TypeDecorator

from tablestakes.crud.declaration import DeclarationError
from tablestakes.errors import invalid_field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOS_IN_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Codec:
    """How a value crosses; None where it crosses as it is.

    Attributes:
        to_message: From what the column gave to what the field takes.
        to_column: From the field's value, and its path for errors, to what the column takes. It raises
            StatusError, INVALID_ARGUMENT, for a value that no column takes.
    """

    to_message: Callable[[Any], Any] | None = None
    to_column: Callable[[Any, str], Any] | None = None


def _text(value: str, path: str) -> str:
    # PostgreSQL's text has no NUL (it would answer 22021) and SQLite's has: no database keeps it here.
    if "\x00" in value:
        raise invalid_field(path, "must not contain a NUL character.", "NUL_CHARACTER")
    return value


def _timestamp(value: datetime) -> Timestamp:
    # By hand, at half the cost of Timestamp.FromDatetime, which is most of the cost of a page of rows.
    since = value - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def _datetime(value: Timestamp, path: str) -> datetime:
    if not 0 <= value.nanos < NANOS_IN_SECOND:
        raise invalid_field(path, "must have nanos from 0 to 999,999,999.", "TIMESTAMP_OUT_OF_RANGE")
    try:
        return EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    except OverflowError:
        raise invalid_field(path, "must lie in the years 1 to 9999.", "TIMESTAMP_OUT_OF_RANGE") from None


def _number(value: float, path: str) -> float:
    # SQLite would take "not a number" for NULL.
    if math.isnan(value):
        raise invalid_field(path, "must be a number.", "NOT_A_NUMBER")
    return value


AS_IT_IS = Codec()
NUMBER = Codec(to_column=_number)
TEXT = Codec(to_column=_text)
INSTANT = Codec(_timestamp, _datetime)

# By the field's type, or its message, and the column's Python type.
CODECS: dict[tuple[int | str, type], Codec] = {
    (FieldDescriptor.TYPE_STRING, str): TEXT,
    (FieldDescriptor.TYPE_BYTES, bytes): AS_IT_IS,
    (FieldDescriptor.TYPE_BOOL, bool): AS_IT_IS,
    (FieldDescriptor.TYPE_INT32, int): AS_IT_IS,
    (FieldDescriptor.TYPE_INT64, int): AS_IT_IS,
    (FieldDescriptor.TYPE_DOUBLE, float): NUMBER,
    (Timestamp.DESCRIPTOR.full_name, datetime): INSTANT,
}


def _enum(kind: EnumDescriptor) -> Codec:
    """Keep an enum by the names of its values: a column that a person can read, and a proto may renumber."""
    numbers = {value.name: value.number for value in kind.values}
    names = {value.number: value.name for value in kind.values}

    def to_column(number: int, path: str) -> str:
        if number not in names:
            raise invalid_field(path, f"{number} is not a value of {kind.name}.", "UNKNOWN_ENUM_VALUE")
        return names[number]

    return Codec(numbers.__getitem__, to_column)


def codec_for(field: FieldDescriptor, column: Column[Any]) -> Codec:
    """Return how a field's values are kept in a column.

    Raises:
        DeclarationError: There is no way between the two types.
    """
    kind = field.message_type.full_name if field.message_type else field.type
    if field.enum_type is not None and python_type(column) is str:
        codec: Codec | None = _enum(field.enum_type)
    else:
        codec = CODECS.get((kind, python_type(column)))
    if codec is None:
        raise DeclarationError(
            f"{field.full_name} cannot be kept in the column {column.table.name}.{column.name}:"
            f" no codec between this field's type and {column.type!r}"
        )
    return codec


def python_type(column: Column[Any]) -> type:
    """Return the type of a column's values in Python: of a decorated type, that of what it decorates."""
    kind = column.type
    return kind.impl_instance.python_type if isinstance(kind, TypeDecorator) else kind.python_type
