"""A field of a resource's message, and the column that keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import Column, Table

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IDENTIFIER, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, behaves
from tablestakes.crud.schema.codec import Codec, codec_for
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.reference import reference_to


@dataclass(frozen=True, eq=False)
class Field:
    """A field that a column keeps.

    Attributes:
        name: Its name in the proto.
        column: The column.
        codec: The way between the two.
        optional: Whether it tells "not set" from its zero value (proto3 `optional`, or a message).
        writable: Whether callers may set it: neither OUTPUT_ONLY nor the name.
        immutable: Whether only Create may set it.
        readable: Whether it is ever returned.
    """

    name: str
    column: Column[Any]
    codec: Codec
    optional: bool
    writable: bool
    immutable: bool
    readable: bool

    def is_set(self, message: Message) -> bool:
        """Return whether a message has a value in this field."""
        return message.HasField(self.name) if self.optional else bool(getattr(message, self.name))

    def value(self, message: Message, path: str) -> Any:
        """Return what the column is to hold for a message.

        An optional field that is not set stands for the column's default, or else for nothing.

        Raises:
            StatusError: INVALID_ARGUMENT, with the field's path below that of the message.
        """
        if self.optional and not message.HasField(self.name):
            default: Any = self.column.default
            return default.arg if default is not None and default.is_scalar else None
        value = getattr(message, self.name)
        convert = self.codec.to_column
        return convert(value, f"{path}.{self.name}") if convert else value


def fields_of(message: Descriptor, table: Table, names: Mapping[str, Names]) -> dict[str, Field]:
    """Return the fields of a message that columns of a table keep, all but its name and what is repeated.

    Args:
        message: The message.
        table: The table. A reference is kept in the column `<field>_id`, any other field in the one of its name.
        names: The names of each resource that is served, by its type, for references.

    Raises:
        DeclarationError: A field has no column, or there is no way between the two types.
    """
    return {
        field.name: _field(field, table, names)
        for field in message.fields
        if not field.is_repeated and not behaves(field, IDENTIFIER)
    }


def _field(field: FieldDescriptor, table: Table, names: Mapping[str, Names]) -> Field:
    target = reference_to(field, names)
    name = f"{field.name}_id" if target else field.name
    column = table.c.get(name)
    if column is None:
        raise DeclarationError(
            f"{field.full_name} has no column {name} in the table {table.name}; {likely(name, table.c.keys())}"
        )
    return Field(
        name=field.name,
        column=column,
        codec=target.codec if target else codec_for(field, column),
        optional=field.has_presence,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        readable=not behaves(field, INPUT_ONLY),
    )
