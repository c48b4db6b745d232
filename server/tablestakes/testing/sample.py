"""Making valid messages of any resource from nothing but its proto."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast
from uuid import UUID

import protovalidate
from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.schema.behavior import IDENTIFIER, OUTPUT_ONLY, behaves, option

# One for the whole suite: no two samples share a value that must be unique.
_counter = itertools.count(1)


def sample(message: type[Message], fields: Iterable[str] | None = None, inside: tuple[str, ...] = ()) -> Any:
    """Return a message with a valid value in every field that a caller may set, and in one of each `oneof`.

    What refers to another resource has the form of text and is no name: see `Contract.sample`.

    Args:
        message: Its class.
        fields: The fields to set; None for all of them.
        inside: The messages that it is inside of: one that contains itself is not made in itself.
    """
    made = message()
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    path = (*inside, descriptor.full_name)
    for field in settable(descriptor):
        chosen = real_oneof(field)
        taken = chosen is not None and made.WhichOneof(chosen) is not None
        if (fields is None or field.name in fields) and not taken and not _recurs(field, path):
            _set_valid(made, field, path)
    return made


def settable(message: Descriptor) -> list[FieldDescriptor]:
    """Return the fields of a message that a caller may set."""
    # An etag has no behavior of its own (AIP-154), and nobody sets it.
    return [
        field for field in message.fields if not behaves(field, IDENTIFIER, OUTPUT_ONLY) and field.name != "etag"
    ]


def refers_to(field: FieldDescriptor) -> str:
    """Return the type of the resources that a field refers to, "" where it does not refer."""
    kind: str = option(field, resource_pb2.resource_reference).type
    return kind


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_list_of_messages(field: FieldDescriptor) -> bool:
    """Return whether a field is repeated and holds messages, and no map."""
    return field.is_repeated and field.message_type is not None and not is_map(field)


def real_oneof(field: FieldDescriptor) -> str | None:
    """Return the name of the `oneof` that a field is in; None for a field that is merely `optional`."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else None


def spoil(message: Any) -> None:
    """Set every field of a message that a caller may not set, to what no server would say."""
    for field in message.DESCRIPTOR.fields:
        if behaves(field, OUTPUT_ONLY):
            if field.is_repeated:
                continue
            if field.message_type is not None:
                getattr(message, field.name).CopyFrom(_spoilt(field.message_type))
            else:
                setattr(message, field.name, _spoilt_value(field))
        elif is_list_of_messages(field):
            for item in getattr(message, field.name):
                spoil(item)


def _spoilt_value(field: FieldDescriptor) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return "spoilt"
        case FieldDescriptor.TYPE_BYTES:
            return b"spoilt"
        case FieldDescriptor.TYPE_BOOL:
            return True
        case FieldDescriptor.TYPE_ENUM if field.enum_type:
            return field.enum_type.values[-1].number
    return 987_654_321


def _spoilt(message: Descriptor) -> Any:
    made: Any = GetMessageClass(message)()
    if "seconds" in message.fields_by_name:
        made.seconds = 1
        return made
    return sample(GetMessageClass(message))


def _recurs(field: FieldDescriptor, path: tuple[str, ...]) -> bool:
    below = field.message_type.fields_by_name["value"] if is_map(field) and field.message_type else field
    return below.message_type is not None and below.message_type.full_name in path


def _set_valid(message: Any, field: FieldDescriptor, path: tuple[str, ...]) -> None:
    for value in _candidates(field, path):
        message.ClearField(field.name)
        if is_map(field):
            _fill(getattr(message, field.name), value, field)
        elif field.is_repeated:
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
    raise AssertionError(f"no sample is valid for {field.full_name}: teach one to tablestakes.testing.sample")


def _fill(target: Any, values: dict[Any, Any], field: FieldDescriptor) -> None:
    entry = cast(Descriptor, field.message_type).fields_by_name["value"]
    for key, value in values.items():
        if entry.message_type is not None:
            target[key].CopyFrom(value)
        else:
            target[key] = value


def _candidates(field: FieldDescriptor, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield values of a field, until one of them keeps the field's rules."""
    if is_map(field):
        entry = cast(Descriptor, field.message_type).fields_by_name
        for pair in zip(_many(entry["key"], path), _many(entry["value"], path), strict=False):
            yield dict(zip(*pair, strict=True))
    elif field.is_repeated:
        for some in _many(field, path):
            yield some
            yield some[:1]
    else:
        yield from _values(field, next(_counter), path)


def _many(field: FieldDescriptor, path: tuple[str, ...]) -> Iterator[list[Any]]:
    """Yield lists of two values of a field; of one where each would need a resource of its own."""
    first = _values(field, next(_counter), path)
    if field.message_type is not None and any(map(refers_to, field.message_type.fields)):
        yield from ([value] for value in first)
        return
    for pair in zip(first, _values(field, next(_counter), path), strict=False):
        yield list(pair)


def _values(field: FieldDescriptor, number: int, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield single values of a field's type."""
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            message = cast(Descriptor, field.message_type)
            made = GetMessageClass(message)
            known = KNOWN.get(message.full_name)
            yield made(**known(number)) if known else sample(made, inside=path)
        case FieldDescriptor.TYPE_STRING:
            yield from _texts(number)
        case FieldDescriptor.TYPE_BYTES:
            yield b"\x00\xff" + _text(number).encode()
        case FieldDescriptor.TYPE_BOOL:
            yield from (True, False)
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            yield from (number + 0.5, number % 9 + 0.5, 0.5)
        case FieldDescriptor.TYPE_ENUM if field.enum_type:
            yield from (value.number for value in field.enum_type.values if value.number)
        case _:
            yield from (number % 9 + 1, number, number + 1000)


def _text(number: int) -> str:
    # Of one length, so that ids which are chosen later also come later in their order.
    return f"sample{number:06}"


def _texts(number: int) -> Iterator[str]:
    text, letters = _text(number), (chr(ord("A") + number // 26 % 26), chr(ord("A") + number % 26))
    yield from (
        text,
        f"{text}@example.com",
        f"https://example.com/{number}",
        "".join(letters),
        "".join(letters) + "X",
    )
    yield f"{1900 + number % 100}-{number % 12 + 1:02}-{number % 28 + 1:02}"
    yield str(UUID(int=number, version=4))
    yield from (f"{text}.example.com", f"192.0.2.{number % 256}", f"+1555{number:07}", str(number))


KNOWN: dict[str, Callable[[int], dict[str, Any]]] = {
    # To the microsecond, as the databases keep them.
    "google.protobuf.Timestamp": lambda number: {"seconds": 1_000_000_000 + number, "nanos": 123_456_000},
    "google.protobuf.Duration": lambda number: {"seconds": number, "nanos": 500_000_000},
    "google.type.Date": lambda number: {
        "year": 1900 + number % 200,
        "month": number % 12 + 1,
        "day": number % 28 + 1,
    },
    "google.type.TimeOfDay": lambda number: {
        "hours": number % 24,
        "minutes": number % 60,
        "seconds": number % 60,
        "nanos": 123_456_000,
    },
    # Without decimals, for the proto does not say how many its column keeps.
    "google.type.Decimal": lambda number: {"value": str(number % 90 + 1)},
    "google.type.Money": lambda number: {"currency_code": "EUR", "units": number, "nanos": 500_000_000},
    "google.type.LatLng": lambda number: {"latitude": number % 90 + 0.5, "longitude": number % 180 + 0.5},
    "google.protobuf.Struct": lambda number: {
        "fields": {
            "text": {"string_value": _text(number)},
            "number": {"number_value": number + 0.5},
            "list": {"list_value": {"values": [{"bool_value": True}, {"null_value": 0}]}},
        }
    },
    "google.protobuf.Value": lambda number: {"string_value": _text(number)},
    "google.protobuf.ListValue": lambda number: {"values": [{"number_value": number}, {"bool_value": False}]},
    "google.protobuf.FieldMask": lambda number: {"paths": [f"path_{number}"]},
}
"""The fields of messages that are more than the sum of their fields."""
