"""Making valid messages of any resource from nothing but its proto."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.crud.behavior import IDENTIFIER, OUTPUT_ONLY, behaves

# One for the whole suite: no two samples share a value that must be unique.
_counter = itertools.count(1)


def sample(message: type[Message], fields: Iterable[str] | None = None) -> Any:
    """Return a message with a valid value in every field that a caller may set.

    Args:
        message: Its class.
        fields: The fields to set; None for all of them.
    """
    made = message()
    for field in cast(Descriptor, message.DESCRIPTOR).fields:
        settable = not behaves(field, IDENTIFIER, OUTPUT_ONLY)
        if settable and (fields is None or field.name in fields):
            _set_valid(made, field)
    return made


def _set_valid(message: Message, field: FieldDescriptor) -> None:
    for value in _candidates(field, next(_counter)):
        if isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
        if not any(
            element.field_name == field.name
            for violation in protovalidate.collect_violations(message)
            for element in (violation.proto.field.elements[:1] if violation.proto.field else ())
        ):
            return
    raise AssertionError(f"no sample is valid for {field.full_name}: teach one to _candidates")


def _candidates(field: FieldDescriptor, number: int) -> Iterator[Any]:
    """Yield values of a field's type, until one of them keeps the field's rules."""
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            yield from (f"sample{number}", f"sample{number}@example.com", f"https://example.com/{number}", "NL")
        case FieldDescriptor.TYPE_BYTES:
            yield f"sample{number}".encode()
        case FieldDescriptor.TYPE_BOOL:
            yield True
        case FieldDescriptor.TYPE_DOUBLE:
            yield number + 0.5
        case FieldDescriptor.TYPE_ENUM if field.enum_type:
            yield from (value.number for value in field.enum_type.values if value.number)
        case FieldDescriptor.TYPE_MESSAGE if _is_timestamp(field):
            yield Timestamp(seconds=1_000_000_000 + number, nanos=123_456_000)
        case _:
            yield from (number % 9 + 1, number)


def _is_timestamp(field: FieldDescriptor) -> bool:
    message = field.message_type
    return message is not None and message.full_name == Timestamp.DESCRIPTOR.full_name
