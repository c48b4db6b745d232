"""What is worked out once, at start, of a resource: its fields, their columns, and the way between them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import Column, ColumnElement, Row, Table, and_, bindparam, inspect

from server.crud.behavior import IDENTIFIER, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, behaves
from server.crud.codec import Codec, codec_for
from server.crud.name import Names, names_of
from server.crud.resource import DeclarationError, Resource, likely


@dataclass(frozen=True)
class Field:
    """A field of a resource's message that a column keeps.

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
        """Return what the column is to hold for a message's field, which is set or has a zero value.

        Raises:
            StatusError: INVALID_ARGUMENT, with the field's path below that of the message.
        """
        value = getattr(message, self.name)
        convert = self.codec.to_column
        return convert(value, f"{path}.{self.name}") if convert else value

    def empty(self) -> Any:
        """Return what the column is to hold once the field is cleared: its default, or else nothing."""
        default: Any = self.column.default
        return default.arg if default is not None and default.is_scalar else None


@dataclass(frozen=True)
class Plan:
    """A resource, compiled.

    Attributes:
        message: Its message class.
        table: Its table.
        names: Its names.
        fields: The fields that columns keep, by name.
        columns: What a statement selects or returns so that `to_message` can read its rows.
        to_message: From such a row to a message.
    """

    message: type[Message]
    table: Table
    names: Names
    fields: dict[str, Field]
    columns: tuple[Column[Any], ...]
    to_message: Callable[[Row[Any]], Message]

    @property
    def descriptor(self) -> Descriptor:
        """What the proto says of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)

    @property
    def writable(self) -> frozenset[str]:
        """The names of the fields that callers may set."""
        return frozenset(field.name for field in self.fields.values() if field.writable)

    @property
    def constraints(self) -> dict[str, tuple[str, ...]]:
        """The columns of each constraint and unique index of the table, by its name on the database."""
        named: list[Any] = [*self.table.constraints, *(index for index in self.table.indexes if index.unique)]
        return {str(each.name): tuple(column.name for column in each.columns) for each in named if each.name}

    def has_name(self) -> ColumnElement[bool]:
        """Return the condition for the row of a name, with the parameters that `names.parse` gives."""
        return and_(*(column == bindparam(f"key_{column.name}") for column in self.names.columns))

    def values(self, message: Message, fields: Iterable[Field], path: str) -> dict[str, Any]:
        """Return what the columns of some fields are to hold for a message.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of a field below that of the message.
        """
        return {
            field.column.name: field.value(message, path)
            if not field.optional or field.is_set(message)
            else field.empty()
            for field in fields
        }


def compile_plan(resource: Resource) -> Plan:
    """Compile a resource's declaration.

    Raises:
        DeclarationError: The message, the model and the proto's options do not fit together.
    """
    descriptor, mapper = resource.descriptor, inspect(resource.model, raiseerr=False)
    table = getattr(mapper, "local_table", None)
    if not isinstance(table, Table):
        raise DeclarationError(f"{resource.model.__name__} is not mapped to a table")
    _require_identifier(descriptor)
    names = names_of(descriptor, table)
    fields = {field.name: _field(field, table) for field in descriptor.fields if not behaves(field, IDENTIFIER)}
    # The key's columns first: the name is made of them.
    columns = tuple(dict.fromkeys([*names.columns, *(field.column for field in fields.values() if field.readable)]))
    return Plan(resource.message, table, names, fields, columns, _reader(resource.message, names, fields, columns))


def _require_identifier(message: Descriptor) -> None:
    found = [(f.name, f.type, f.is_repeated) for f in message.fields if behaves(f, IDENTIFIER)]
    if found != [("name", FieldDescriptor.TYPE_STRING, False)]:
        raise DeclarationError(
            f"{message.full_name} needs one field with the field_behavior IDENTIFIER, `string name`;"
            f" it has {', '.join(name for name, *_ in found) or 'none'}"
        )


def _field(field: FieldDescriptor, table: Table) -> Field:
    column = table.c.get(field.name)
    if column is None:
        raise DeclarationError(
            f"{field.full_name} has no column in the table {table.name}; {likely(field.name, table.c.keys())}"
        )
    return Field(
        name=field.name,
        column=column,
        codec=codec_for(field, column),
        optional=field.has_presence,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        readable=not behaves(field, INPUT_ONLY),
    )


def _reader(
    message: type[Message], names: Names, fields: dict[str, Field], columns: tuple[Column[Any], ...]
) -> Callable[[Row[Any]], Message]:
    """Return the function from a row to a message, with everything that can be looked up looked up."""
    steps = tuple(
        (field.name, columns.index(field.column), field.codec.to_message)
        for field in fields.values()
        if field.readable
    )
    keys = len(names.columns)
    name_of = names.format

    def read(row: Row[Any]) -> Message:
        values: dict[str, Any] = {"name": name_of(tuple(row[:keys]))}
        for name, index, convert in steps:
            value = row[index]
            if value is not None:
                values[name] = convert(value) if convert else value
        return message(**values)

    return read
