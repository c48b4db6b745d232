"""Integers, floating point and decimal numbers."""

import math
import re
from decimal import Decimal, Inexact, InvalidOperation
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import REAL, BigInteger, Float, SmallInteger
from sqlalchemy.types import TypeEngine

from tablestakes.columns import FixedDecimal
from tablestakes.crud.schema.codec.crossing import AS_IT_IS, Codec
from tablestakes.errors import invalid_field

INT32, INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
UINT32, UINT64 = (0, 2**32 - 1), (0, 2**64 - 1)

INTEGERS = {
    FieldDescriptor.TYPE_INT32: INT32,
    FieldDescriptor.TYPE_SINT32: INT32,
    FieldDescriptor.TYPE_SFIXED32: INT32,
    FieldDescriptor.TYPE_UINT32: UINT32,
    FieldDescriptor.TYPE_FIXED32: UINT32,
    FieldDescriptor.TYPE_INT64: INT64,
    FieldDescriptor.TYPE_SINT64: INT64,
    FieldDescriptor.TYPE_SFIXED64: INT64,
    FieldDescriptor.TYPE_UINT64: UINT64,
    FieldDescriptor.TYPE_FIXED64: UINT64,
}
"""The least and the greatest value of each kind of integer in a proto."""

DECIMAL_TEXT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""The grammar of google.type.Decimal, but for the empty string."""

# PostgreSQL takes a Float of up to so many bits for a REAL.
REAL_BITS = 24


def bounds(kind: TypeEngine[Any]) -> tuple[int, int]:
    """Return the least and the greatest value of a column of integers, as PostgreSQL has them: SQLite has one."""
    if isinstance(kind, BigInteger):
        return INT64
    return (-(2**15), 2**15 - 1) if isinstance(kind, SmallInteger) else INT32


def integer(field: FieldDescriptor, kind: TypeEngine[Any]) -> Codec | None:
    """Return how an integer is kept: as it is, within the range of its column."""
    if kind.python_type is not int:
        return None
    (least, greatest), (low, high) = INTEGERS[field.type], bounds(kind)
    if low <= least and greatest <= high:
        return AS_IT_IS
    said = f"must be at most {high}." if least == 0 else f"must be from {low} to {high}."

    def to_column(value: int, path: str) -> int:
        if not low <= value <= high:
            raise invalid_field(path, said, "VALUE_OUT_OF_RANGE")
        return value

    return Codec(to_column=to_column)


def _number(value: float, path: str) -> float:
    # SQLite would take "not a number" for NULL.
    if math.isnan(value):
        raise invalid_field(path, "must be a number.", "NOT_A_NUMBER")
    return value


NUMBER = Codec(to_column=_number)


def floating(field: FieldDescriptor, kind: TypeEngine[Any]) -> Codec | None:
    """Return how a float or a double is kept, or None where the column would round it."""
    if kind.python_type is not float:
        return None
    narrow = isinstance(kind, REAL) or (isinstance(kind, Float) and (kind.precision or REAL_BITS + 1) <= REAL_BITS)
    return None if narrow and field.type == FieldDescriptor.TYPE_DOUBLE else NUMBER


def decimal(message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    """Return how a google.type.Decimal is kept: exactly, in the one type that is exact on every database."""
    if not isinstance(kind, FixedDecimal):
        return None
    whole, scale = kind.precision - kind.scale, kind.scale

    def to_message(value: Decimal) -> Message:
        # Never with an exponent, which str() has for small numbers.
        return message(value=format(value, "f"))

    def to_column(value: Any, path: str) -> Decimal:
        text: str = value.value
        if text and not DECIMAL_TEXT.fullmatch(text):
            raise invalid_field(path, "must be a decimal number, such as -12.50.", "INVALID_DECIMAL")
        try:
            return kind.exact(Decimal(text or 0))
        except Inexact:
            raise invalid_field(path, f"must have at most {scale} decimals.", "TOO_MANY_DECIMALS") from None
        except InvalidOperation:
            said = f"must have at most {whole} digits before the decimal point."
            raise invalid_field(path, said, "VALUE_OUT_OF_RANGE") from None

    return Codec(to_message, to_column)
