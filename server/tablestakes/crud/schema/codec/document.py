"""Messages, lists and maps, in columns of JSON.

A message is kept as protobuf's own JSON has it, but with the names of its fields as the proto spells them. The
scalars of a list or a map are kept as JSON's own, so that SQL can compare them: integers of 64 bits are numbers,
where protobuf's JSON has text.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import JSON
from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.codec.choice import unknown
from tablestakes.crud.schema.codec.crossing import AS_IT_IS, Codec
from tablestakes.crud.schema.codec.moment import INSTANT, require_duration
from tablestakes.crud.schema.codec.number import INTEGERS, NUMBER
from tablestakes.crud.schema.codec.text import TEXT
from tablestakes.crud.shape import map_entry
from tablestakes.errors import invalid_field

ANY = "google.protobuf.Any"
VALUE = "google.protobuf.Value"

GREATEST_FLOAT = (2 - 2**-23) * 2.0**127

# Deeper than any message off a wire: protobuf's parser stops at a hundred.
DEPTH = 1000

Convert = Callable[[Any], Any]
ConvertPath = Callable[[Any, str], Any]


def holds_any(message: Descriptor | None) -> bool:
    """Return whether a message is a google.protobuf.Any or has one inside: only who packed it knows its type."""
    seen: set[str] = set()
    ahead: list[Descriptor | None] = [message]
    while ahead:
        found = ahead.pop()
        if found is not None and found.full_name not in seen:
            seen.add(found.full_name)
            ahead.extend(field.message_type for field in found.fields)
    return ANY in seen


def document(field: FieldDescriptor, kind: TypeEngine[Any], *, nullable: bool) -> Codec | None:
    """Return how a message, a list or a map is kept in JSON, or None for what is not kept so.

    Args:
        field: The field.
        kind: The column's type.
        nullable: Whether the column takes NULL.
    """
    if not isinstance(kind, JSON) or holds_any(field.message_type):
        return None
    if (entry := map_entry(field)) is not None:
        return _map(entry)
    if field.is_repeated:
        return _list(_item(field))
    if field.message_type is None:
        return None
    item = _item(field)
    return _value(item, nullable=nullable) if field.message_type.full_name == VALUE else item


def _value(item: Codec, *, nullable: bool) -> Codec:
    """Keep a Value whose null is NULL: a database's JSON null is read as nothing all the same."""
    convert = item.to_column
    assert convert is not None  # noqa: S101 - a message's codec has both ways
    null = None if nullable else JSON.NULL

    def to_column(value: Message, path: str) -> Any:
        found = convert(value, path)
        return null if found is None else found

    return Codec(item.to_message, to_column)


def _item(field: FieldDescriptor) -> Codec:
    """Return how one value of a field is kept in JSON, however many the field has."""
    if field.message_type is not None:
        return _message(GetMessageClass(field.message_type))
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXT
    if field.type == FieldDescriptor.TYPE_BYTES:
        return Codec(base64.b64decode, lambda value, _: base64.b64encode(value).decode("ascii"))
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        # JSON has no infinities; both protobuf's and Python's spelling of them is what float() reads.
        return Codec(float, _finite_or_text)
    return AS_IT_IS


def _finite_or_text(value: float, path: str) -> float | str:
    assert NUMBER.to_column is not None  # noqa: S101 - it refuses NaN
    number: float = NUMBER.to_column(value, path)
    return number if math.isfinite(number) else ("Infinity" if number > 0 else "-Infinity")


def _enum(choices: EnumDescriptor) -> Codec:
    require = partial(_require_known, choices)
    numbers = {value.name: value.number for value in choices.values}

    def to_column(number: int, path: str) -> str:
        require(number, path)
        return choices.values_by_number[number].name

    return Codec(numbers.__getitem__, to_column)


def _message(message: type[Message]) -> Codec:
    def to_message(value: Any) -> Message:
        # A field that the proto once had must not make its old rows unreadable.
        return json_format.ParseDict(value, message(), ignore_unknown_fields=True, max_recursion_depth=DEPTH)

    def to_column(value: Message, path: str) -> Any:
        require_message(value, path)
        try:
            return json_format.MessageToDict(value, preserving_proto_field_name=True)
        except (json_format.Error, ValueError):
            # The remaining case is a FieldMask with a path that the mask's JSON cannot spell.
            raise invalid_field(path, "has no form in JSON.", "NOT_JSON") from None

    return Codec(to_message, to_column)


def _list(item: Codec) -> Codec:
    show, keep = item.to_message, item.to_column
    if keep is None:
        return Codec(None if show is None else partial(_each, show), lambda values, _: list(values))

    def to_column(values: Any, path: str) -> list[Any]:
        return [keep(value, f"{path}[{index}]") for index, value in enumerate(values)]

    return Codec(None if show is None else partial(_each, show), to_column)


def _each(show: Convert, values: list[Any]) -> list[Any]:
    return [show(value) for value in values]


def _map(entry: Descriptor) -> Codec:
    key, item = entry.fields_by_name["key"], _item(entry.fields_by_name["value"])
    read_key = _key_reader(key)
    # JSON's keys are text, and a boolean's are as JSON spells it.
    text: Convert = json.dumps if key.type == FieldDescriptor.TYPE_BOOL else str
    show, keep = item.to_message, item.to_column

    def to_message(values: dict[str, Any]) -> dict[Any, Any]:
        return {
            read_key(name) if read_key else name: show(value) if show else value for name, value in values.items()
        }

    def to_column(values: Mapping[Any, Any], path: str) -> dict[str, Any]:
        found = {}
        # In order, for a map has none: SQLite compares JSON by its text.
        for name in sorted(values):
            below = _below(path, name)
            found[text(name)] = keep(values[name], below) if keep else values[name]
        return found

    return Codec(to_message if read_key or show else None, to_column)


def _key_reader(key: FieldDescriptor) -> Convert | None:
    if key.type == FieldDescriptor.TYPE_BOOL:
        return json.loads
    return int if key.type in INTEGERS else None


def _below(path: str, key: Any) -> str:
    """Return the path of a value in a map, spelt as protovalidate spells it.

    Raises:
        StatusError: INVALID_ARGUMENT, a key that no column keeps.
    """
    if isinstance(key, str):
        _require_text(key, path)
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def require_message(message: Any, path: str) -> None:
    """Refuse a message with something inside that JSON or a database does not keep.

    Raises:
        StatusError: INVALID_ARGUMENT, with the path of what is wrong.
    """
    require = REQUIRE_IN.get(message.DESCRIPTOR.full_name)
    if require is not None:
        require(message, path)
        return
    # By hand and before it is converted, for JSON no longer tells where in the message something was.
    for field, value in message.ListFields():
        below = f"{path}.{field.name}"
        if (entry := map_entry(field)) is not None:
            check = _require_for(entry.fields_by_name["value"])
            for key, item in value.items():
                inside = _below(below, key)
                if check:
                    check(item, inside)
        elif (check := _require_for(field)) is not None:
            if field.is_repeated:
                for index, item in enumerate(value):
                    check(item, f"{below}[{index}]")
            else:
                check(value, below)


def _require_for(field: FieldDescriptor) -> ConvertPath | None:
    if field.message_type is not None:
        return require_message
    if field.enum_type is not None:
        return partial(_require_known, field.enum_type)
    return REQUIRE.get(field.type)


def _require_text(value: str, path: str) -> None:
    assert TEXT.to_column is not None  # noqa: S101 - it refuses a NUL
    TEXT.to_column(value, path)


def _require_float(value: float, path: str) -> None:
    assert NUMBER.to_column is not None  # noqa: S101 - it refuses NaN
    NUMBER.to_column(value, path)
    # protobuf's JSON rounds the greatest float up to eight digits, and does not read again what it wrote.
    if abs(value) == GREATEST_FLOAT:
        raise invalid_field(path, "must be infinite, or less than the greatest float.", "VALUE_OUT_OF_RANGE")


def _require_known(choices: EnumDescriptor, number: int, path: str) -> None:
    if number not in choices.values_by_number:
        raise unknown(choices, number, path)


def _require_struct(struct: Any, path: str) -> None:
    for key, value in struct.fields.items():
        _require_value(value, _below(path, key))


def _require_list(values: Any, path: str) -> None:
    for index, value in enumerate(values.values):
        _require_value(value, f"{path}[{index}]")


def _require_value(value: Any, path: str) -> None:
    match value.WhichOneof("kind"):
        case "string_value":
            _require_text(value.string_value, path)
        case "number_value" if not math.isfinite(value.number_value):
            raise invalid_field(path, "must be a finite number.", "NOT_A_NUMBER")
        case "struct_value":
            _require_struct(value.struct_value, path)
        case "list_value":
            _require_list(value.list_value, path)


REQUIRE: Mapping[int, ConvertPath | None] = {
    FieldDescriptor.TYPE_STRING: TEXT.to_column,
    FieldDescriptor.TYPE_FLOAT: _require_float,
    FieldDescriptor.TYPE_DOUBLE: NUMBER.to_column,
}

REQUIRE_IN: Mapping[str, ConvertPath | None] = {
    "google.protobuf.Timestamp": INSTANT.to_column,
    "google.protobuf.Duration": require_duration,
    "google.protobuf.Struct": _require_struct,
    "google.protobuf.ListValue": _require_list,
    VALUE: _require_value,
}
