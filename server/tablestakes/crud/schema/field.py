"""The fields of a message, and the columns that keep them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, ColumnElement, Table, or_

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IDENTIFIER, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, REQUIRED, behaves
from tablestakes.crud.schema.codec import Codec, CodecFor, codec_for
from tablestakes.crud.schema.etag import CODEC, ETAG, version_column
from tablestakes.crud.schema.mask import WHOLE, Mask
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.reference import Reference, reference_to

Fields: TypeAlias = "Mapping[str, Field | NestedField]"
"""Fields by their names in the proto."""


@dataclass(frozen=True, eq=False)
class Field:
    """A field that one column keeps.

    Attributes:
        name: Its name in the proto.
        column: The column.
        codec: How its values become the column's, and back.
        optional: Whether "not set" differs from the zero value (proto3 `optional`, or a message).
        writable: Whether callers may set it: it is neither OUTPUT_ONLY nor the name.
        immutable: Whether only Create may set it.
        readable: Whether it is ever returned.
        reference: The resources that it refers to, None where it holds no name.
    """

    name: str
    column: Column[Any]
    codec: Codec
    optional: bool
    writable: bool
    immutable: bool
    readable: bool
    reference: Reference | None

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """The column, as a tuple of one."""
        return (self.column,)

    @property
    def selected(self) -> tuple[ColumnElement[Any], ...]:
        """The columns that a statement selects to read the field."""
        return (self.column,)

    def masked(self, _mask: Mask) -> "Field":
        """Return the field itself: a column is read as a whole."""
        return self

    def is_exact(self, mask: Mask) -> bool:
        """Return whether `reader` reads no more than a mask selects."""
        return mask.whole

    def is_set(self, message: Message) -> bool:
        """Return whether a message has a value in this field."""
        return message.HasField(self.name) if self.optional else bool(getattr(message, self.name))

    def value(self, message: Message, path: str) -> Any:
        """Return the column's value for a message.

        An optional field that is not set stands for the column's default, or else for NULL.

        Raises:
            StatusError: INVALID_ARGUMENT, with the field's path below that of the message.
        """
        if self.optional and not message.HasField(self.name):
            default: Any = self.column.default
            return default.arg if default is not None and default.is_scalar else None
        value = getattr(message, self.name)
        convert = self.codec.to_column
        return convert(value, f"{path}.{self.name}") if convert else value

    def values(self, message: Message, path: str) -> dict[str, Any]:
        """Return the value by the column's name; as `value` in all else."""
        return {self.column.name: self.value(message, path)}

    def reader(self, position: Callable[[ColumnElement[Any]], int]) -> Callable[[Sequence[Any]], Any]:
        """Return the function from a row to the field's value, None where it is not set.

        Args:
            position: Gives the position of a column in the row.
        """
        index, convert = position(self.column), self.codec.to_message

        def read(row: Sequence[Any]) -> Any:
            value = row[index]
            return convert(value) if convert and value is not None else value

        return read


@dataclass(frozen=True, eq=False)
class NestedField:
    """A field that holds a message, each field of which has a column of its own: `price_units` of `price`.

    A row in which all of these columns are NULL has no such message.

    Attributes:
        name: Its name in the proto.
        message: The class of the message in it.
        fields: The fields of that message.
        writable: As for Field, and likewise the next two.
        immutable: Whether only Create may set it.
        readable: Whether it is ever returned.
        presence: Whether a row has such a message, where a mask leaves columns out; None where all are read.
    """

    name: str
    message: type[Message]
    fields: Fields
    writable: bool
    immutable: bool
    readable: bool
    optional: bool = True
    presence: ColumnElement[bool] | None = None

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """The columns of all its fields."""
        return tuple(column for field in self.fields.values() for column in field.columns)

    @property
    def selected(self) -> tuple[ColumnElement[Any], ...]:
        """The columns that a statement selects to read the field."""
        told = () if self.presence is None else (self.presence,)
        return (*told, *selected_columns(self.fields.values()))

    def masked(self, mask: Mask) -> "NestedField":
        """Return the field with those parts that a mask selects, of which no other columns are read."""
        if mask.whole:
            return self
        # The columns that are not read say whether there is such a message all the same.
        presence = self.presence
        if presence is None:
            presence = or_(*(column.is_not(None) for column in self.selected)).label(None)
        return replace(self, fields=masked_fields(self.fields, mask), presence=presence)

    def is_exact(self, mask: Mask) -> bool:
        """Return whether `reader` reads no more than a mask selects."""
        return all(field.is_exact(mask.by_name.get(name, WHOLE)) for name, field in self.fields.items())

    def is_set(self, message: Message) -> bool:
        """Return whether a message has a value in this field."""
        return message.HasField(self.name)

    def values(self, message: Message, path: str) -> dict[str, Any]:
        """Return the values of the columns for a message, by their names; all are None where it is not set.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of a field of the nested message.
        """
        if not message.HasField(self.name):
            return {column.name: None for column in self.columns}
        nested = getattr(message, self.name)
        values: dict[str, Any] = {}
        for field in self.fields.values():
            values |= field.values(nested, f"{path}.{self.name}")
        return values

    def reader(self, position: Callable[[ColumnElement[Any]], int]) -> Callable[[Sequence[Any]], Any]:
        """Return the function from a row to the nested message, None where it is not set."""
        readers = [(field.name, field.reader(position)) for field in self.fields.values() if field.readable]
        told = None if self.presence is None else position(self.presence)

        def read(row: Sequence[Any]) -> Message | None:
            found = {name: value for name, of in readers if (value := of(row)) is not None}
            return self.message(**found) if found or (told is not None and row[told]) else None

        return read


def masked_fields(fields: Fields, mask: Mask) -> Fields:
    """Return those of some fields that a mask selects, each with those of its parts that it selects."""
    return {
        name: field.masked(below)
        for name, field in fields.items()
        if (below := WHOLE if mask.whole else mask.by_name.get(name)) is not None
    }


def selected_columns(fields: Iterable[Field | NestedField]) -> tuple[ColumnElement[Any], ...]:
    """Return what a statement selects to read some fields."""
    return tuple(column for field in fields if field.readable for column in field.selected)


def positions(columns: Sequence[ColumnElement[Any]]) -> Callable[[ColumnElement[Any]], int]:
    """Return the function from a column to its position among some."""
    return {column: index for index, column in enumerate(columns)}.__getitem__


def fields_of(message: Descriptor, table: Table, names: Mapping[str, Names], codecs: Sequence[CodecFor]) -> Fields:
    """Return the fields of a message that columns of a table keep: all but its name, and what relationships keep.

    Args:
        message: The message.
        table: The table. A reference is kept in the column `<field>_id`, any other field in the one of its name,
            or a message in `<field>_<field of the message>` for each of its fields.
        names: The names of each resource that is served, by its type, for references.
        codecs: The service's own codecs.

    Raises:
        DeclarationError: A field has no column, or no codec fits the two types.
    """
    return {
        field.name: _etag(field, table) if field.name == ETAG else _field(field, table, field.name, names, codecs)
        for field in message.fields
        if not behaves(field, IDENTIFIER) and (not field.is_repeated or field.name in table.c)
    }


def _etag(field: FieldDescriptor, table: Table) -> Field:
    """Return the field of an etag, which callers send and never set."""
    return Field(
        name=field.name,
        column=version_column(field, table),
        codec=CODEC,
        optional=False,
        writable=False,
        immutable=False,
        readable=True,
        reference=None,
    )


def _field(
    field: FieldDescriptor, table: Table, prefixed: str, names: Mapping[str, Names], codecs: Sequence[CodecFor]
) -> Field | NestedField:
    target = reference_to(field, names)
    if target and field.is_repeated:
        raise DeclarationError(
            f"{field.full_name} holds names, which need a relationship with a secondary table:"
            f" {table.name}.{prefixed} is a column"
        )
    name = f"{prefixed}_id" if target else prefixed
    column = table.c.get(name)
    if column is None and field.message_type is not None and _prefixes(prefixed, table):
        return _nested_field(field, table, prefixed, names, codecs)
    if column is None:
        columns = f"a column {name}"
        if field.message_type is not None:
            columns += f" (or {prefixed}_<field> for each field of {field.message_type.name})"
        raise DeclarationError(
            f"{field.full_name} needs {columns} in the table {table.name}; {likely(name, table.c.keys())}"
        )
    return Field(
        name=field.name,
        column=column,
        codec=target.codec if target else codec_for(field, column, codecs),
        optional=field.has_presence,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        readable=not behaves(field, INPUT_ONLY),
        reference=target,
    )


def _prefixes(name: str, table: Table) -> bool:
    return any(column.startswith(f"{name}_") for column in table.c.keys())  # noqa: SIM118 - a table's columns


def _nested_field(
    field: FieldDescriptor, table: Table, prefixed: str, names: Mapping[str, Names], codecs: Sequence[CodecFor]
) -> NestedField:
    message: Any = field.message_type
    fields: dict[str, Field | NestedField] = {}
    for below in message.fields:
        if below.is_repeated and f"{prefixed}_{below.name}" not in table.c:
            raise DeclarationError(f"{below.full_name} is repeated and needs a JSON column {prefixed}_{below.name}")
        fields[below.name] = _field(below, table, f"{prefixed}_{below.name}", names, codecs)
    made = NestedField(
        name=field.name,
        message=GetMessageClass(message),
        fields=fields,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        readable=not behaves(field, INPUT_ONLY),
    )
    if not behaves(field, REQUIRED):
        for column in made.columns:
            if not column.nullable:
                raise DeclarationError(
                    f"{table.name}.{column.name} must be nullable: {field.full_name} is not REQUIRED, and where it"
                    " is not set its columns are NULL"
                )
    return made
