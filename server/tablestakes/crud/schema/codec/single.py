"""One value of a field, in a column of its own or in an array."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import ARRAY, JSON, DateTime, Time
from sqlalchemy.types import TypeDecorator, TypeEngine

from tablestakes.crud.schema.codec.choice import choice
from tablestakes.crud.schema.codec.crossing import AS_IT_IS, Codec, plain
from tablestakes.crud.schema.codec.moment import DURATION, INSTANT, day, time_of_day
from tablestakes.crud.schema.codec.number import INTEGERS, decimal, floating, integer
from tablestakes.crud.schema.codec.text import string

WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
AS_THEY_ARE = {FieldDescriptor.TYPE_BYTES: bytes, FieldDescriptor.TYPE_BOOL: bool}
JSON_NATIVE = frozenset({bool, float, int, str})


def single(field: FieldDescriptor, kind: TypeEngine[Any], *, empty_is_null: bool = False) -> Codec | None:
    """Return how one value of a field is kept in a column of a type, or None where there is no way.

    Args:
        field: The field; that it may be repeated does not count.
        kind: The column's type, with what decorates it.
        empty_is_null: Whether an empty string stands for NULL where the column has no empty one.
    """
    if field.message_type is not None:
        return _message(field.message_type, kind)
    bare = plain(kind)
    if field.enum_type is not None:
        return choice(field.enum_type, bare)
    if field.type == FieldDescriptor.TYPE_STRING:
        return string(bare, empty_is_null=empty_is_null)
    return _scalar(field, bare)


def _scalar(field: FieldDescriptor, bare: TypeEngine[Any]) -> Codec | None:
    if field.type in INTEGERS:
        return integer(field, bare)
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return floating(field, bare)
    return AS_IT_IS if bare.python_type is AS_THEY_ARE.get(field.type) else None


def array(field: FieldDescriptor, kind: TypeEngine[Any]) -> Codec | None:
    """Return how a repeated field is kept in an ARRAY, or None where there is no way."""
    if not isinstance(kind, ARRAY) or kind.dimensions not in (None, 1):
        return None
    # An array of PostgreSQL may be JSON on SQLite, which takes no dates and no bytes.
    elsewhere_json = any(isinstance(plain(other), JSON) for other in kind._variant_mapping.values())
    if elsewhere_json and plain(kind.item_type).python_type not in JSON_NATIVE:
        return None
    item = single(field, kind.item_type)
    if item is None:
        return None
    show, keep = item.to_message, item.to_column

    def to_message(values: list[Any]) -> list[Any]:
        return [show(value) for value in values] if show else values

    def to_column(values: Any, path: str) -> list[Any]:
        return [keep(value, f"{path}[{index}]") for index, value in enumerate(values)] if keep else list(values)

    return Codec(to_message if show else None, to_column)


def _message(message: Descriptor, kind: TypeEngine[Any]) -> Codec | None:
    if message.full_name in WRAPPERS:
        return _wrapped(GetMessageClass(message), message.fields_by_name["value"], kind)
    known = MESSAGES.get(message.full_name)
    return known(GetMessageClass(message), kind) if known else None


def _instant(_message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    bare = plain(kind)
    # A decorator says for itself what it does about time zones.
    aware = isinstance(kind, TypeDecorator) or (isinstance(bare, DateTime) and bare.timezone)
    return INSTANT if aware and bare.python_type is datetime else None


def _duration(_message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    return DURATION if plain(kind).python_type is timedelta else None


def _day(message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    return day(message) if plain(kind).python_type is date else None


def _time_of_day(message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    bare = plain(kind)
    return time_of_day(message) if isinstance(bare, Time) and not bare.timezone else None


def _decimal(message: type[Message], kind: TypeEngine[Any]) -> Codec | None:
    return decimal(message, plain(kind))


def _wrapped(wrapper: type[Message], field: FieldDescriptor, kind: TypeEngine[Any]) -> Codec | None:
    """Keep what a wrapper wraps; one that is not set is NULL."""
    item = single(field, kind)
    if item is None:
        return None
    show, keep = item.to_message, item.to_column

    def to_message(value: Any) -> Message:
        return wrapper(value=show(value) if show else value)

    def to_column(value: Any, path: str) -> Any:
        return keep(value.value, path) if keep else value.value

    return Codec(to_message, to_column)


MESSAGES: dict[str, Callable[[type[Message], TypeEngine[Any]], Codec | None]] = {
    "google.protobuf.Timestamp": _instant,
    "google.protobuf.Duration": _duration,
    "google.type.Date": _day,
    "google.type.TimeOfDay": _time_of_day,
    "google.type.Decimal": _decimal,
}
