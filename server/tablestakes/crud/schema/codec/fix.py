"""The error text for a field and a column that no codec joins: their types, and a column that would do."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from sqlalchemy import Column, Enum
from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.codec.crossing import plain
from tablestakes.crud.schema.codec.document import ANY, holds_any
from tablestakes.crud.schema.codec.number import INT32, INT64, INTEGERS
from tablestakes.crud.schema.codec.single import WRAPPERS
from tablestakes.crud.shape import map_entry

DOCUMENT = "tablestakes.Document"

SPELT: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}

FIXES = {
    "google.protobuf.Timestamp": "DateTime(timezone=True), or tablestakes.Instant, which is one on SQLite too",
    "google.protobuf.Duration": "Interval",
    "google.type.Date": "Date",
    "google.type.TimeOfDay": "Time, without a time zone",
    "google.type.Decimal": "tablestakes.FixedDecimal",
    "google.type.Money": f"{DOCUMENT}, or columns of its parts: an amount and its currency have no single column",
}
SCALARS = {
    FieldDescriptor.TYPE_STRING: "String, or Uuid for a UUID",
    FieldDescriptor.TYPE_BYTES: "LargeBinary",
    FieldDescriptor.TYPE_BOOL: "Boolean",
    FieldDescriptor.TYPE_FLOAT: "Float",
    FieldDescriptor.TYPE_DOUBLE: "Double",
}


def type_name(field: FieldDescriptor) -> str:
    """Return a field's type as its proto spells it."""
    if (entry := map_entry(field)) is not None:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        return f"map<{type_name(key)}, {type_name(value)}>"
    named = field.message_type or field.enum_type
    name = named.full_name if named else SPELT[field.type]
    return f"repeated {name}" if field.is_repeated else name


def fix(field: FieldDescriptor, column: Column[Any]) -> str:
    """Return what is likely to be done about a field that its column cannot keep."""
    message, kind = field.message_type, plain(column.type)
    if holds_any(message):
        return f"{ANY} has no column: its types are known only to those who packed it"
    if field.is_repeated:
        return f"use {DOCUMENT}" + ("" if message else ", or ARRAY on PostgreSQL")
    if message is None:
        return _scalar(field, kind)
    if message.full_name in WRAPPERS:
        return _scalar(message.fields_by_name["value"], kind)
    return f"use {FIXES.get(message.full_name, DOCUMENT)}"


def _scalar(field: FieldDescriptor, kind: TypeEngine[Any]) -> str:
    if field.enum_type is not None:
        names = [value.name for value in field.enum_type.values if value.number]
        if isinstance(kind, Enum):
            return f"the column lacks {', '.join(name for name in names if name not in kind.enums)}"
        longest = max(map(len, names), default=1)
        return f"use String({longest}) or longer for its values' names, or Integer for their numbers"
    if field.type in INTEGERS:
        return "use Integer" if INTEGERS[field.type] == INT32 else f"use BigInteger (it keeps up to {INT64[1]})"
    return f"use {SCALARS[field.type]}"
