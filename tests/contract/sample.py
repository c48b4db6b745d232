"""Making valid messages of any resource from nothing but its proto."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import protovalidate
from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tablestakes.crud.schema.behavior import IDENTIFIER, OUTPUT_ONLY, behaves, option

# One for the whole suite: no two samples share a value that must be unique.
_counter = itertools.count(1)


def sample(message: type[Message], fields: Iterable[str] | None = None) -> Any:
    """Return a message with a valid value in every field that a caller may set.

    What refers to another resource has the form of text and is no name: see `Contract.sample`.

    Args:
        message: Its class.
        fields: The fields to set; None for all of them.
    """
    made = message()
    for field in settable(cast(Descriptor, message.DESCRIPTOR)):
        if fields is None or field.name in fields:
            _set_valid(made, field)
    return made


def settable(message: Descriptor) -> list[FieldDescriptor]:
    """Return the fields of a message that a caller may set."""
    return [field for field in message.fields if not behaves(field, IDENTIFIER, OUTPUT_ONLY)]


def refers_to(field: FieldDescriptor) -> str:
    """Return the type of the resources that a field refers to, "" where it does not refer."""
    kind: str = option(field, resource_pb2.resource_reference).type
    return kind


def spoil(message: Any) -> None:
    """Set every field of a message that a caller may not set, to what no server would say."""
    for field in message.DESCRIPTOR.fields:
        if behaves(field, OUTPUT_ONLY):
            if _is_timestamp(field):
                getattr(message, field.name).seconds = 1
            elif field.enum_type is not None:
                setattr(message, field.name, field.enum_type.values[-1].number)
            else:
                setattr(message, field.name, 987_654_321)
        elif field.is_repeated and field.message_type is not None:
            for item in getattr(message, field.name):
                spoil(item)


def _set_valid(message: Message, field: FieldDescriptor) -> None:
    for value in _candidates(field, next(_counter)):
        message.ClearField(field.name)
        if field.is_repeated:
            getattr(message, field.name).extend(value)
        elif isinstance(value, Message):
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
        case FieldDescriptor.TYPE_MESSAGE if _is_timestamp(field):
            yield Timestamp(seconds=1_000_000_000 + number, nanos=123_456_000)
        case FieldDescriptor.TYPE_MESSAGE:
            item = sample(GetMessageClass(cast(Descriptor, field.message_type)))
            yield [item] if field.is_repeated else item
        case FieldDescriptor.TYPE_STRING if field.is_repeated:
            yield [_text(number), _text(next(_counter))]
        case FieldDescriptor.TYPE_STRING:
            text, letters = _text(number), (chr(ord("A") + number // 26 % 26), chr(ord("A") + number % 26))
            yield from (text, f"{text}@example.com", f"https://example.com/{number}", "".join(letters))
            yield f"{1900 + number % 100}-{number % 12 + 1:02}-{number % 28 + 1:02}"
        case FieldDescriptor.TYPE_BYTES:
            yield _text(number).encode()
        case FieldDescriptor.TYPE_BOOL:
            yield True
        case FieldDescriptor.TYPE_DOUBLE:
            yield number + 0.5
        case FieldDescriptor.TYPE_ENUM if field.enum_type:
            yield from (value.number for value in field.enum_type.values if value.number)
        case _:
            yield from (number % 9 + 1, number)


def _text(number: int) -> str:
    # Of one length, so that ids which are chosen later also come later in their order.
    return f"sample{number:06}"


def _is_timestamp(field: FieldDescriptor) -> bool:
    message = field.message_type
    return message is not None and message.full_name == Timestamp.DESCRIPTOR.full_name
