"""The part of a resource that a read returns: all of it, or the part that is cheap to read (AIP-157)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Column, Connection, Row

from tablestakes.crud.key import Key
from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.name import Names


@dataclass(frozen=True, eq=False)
class View:
    """The columns of a view, and the way from their rows to messages.

    Attributes:
        columns: The columns that a statement selects or returns so that `messages` can read its rows; those of
            the name come first.
        to_message: Makes a message of such a row, without its collections.
        collections: The repeated fields that other tables keep.
        depth: How many columns the name has.
    """

    columns: tuple[Column[Any], ...]
    to_message: Callable[[Row[Any]], Message]
    collections: tuple[Collection, ...]
    depth: int

    def key(self, row: Row[Any]) -> Key:
        """Return the ids in the name of a row."""
        return tuple(row[: self.depth])

    def messages(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Message]:
        """Return the messages of rows, in their order; each collection costs one more statement for all of them.

        Args:
            connection: The connection that collections are read on.
            rows: Rows of `columns`.
        """
        messages = [self.to_message(row) for row in rows]
        if self.collections and messages:
            last = self.depth - 1
            by_id = {row[last]: message for row, message in zip(rows, messages, strict=True)}
            for collection in self.collections:
                collection.read(connection, by_id)
        return messages

    def message(self, connection: Connection, row: Row[Any]) -> Message:
        """Return the message of one row."""
        if not self.collections:
            return self.to_message(row)
        return self.messages(connection, [row])[0]


def view_of(
    message: type[Message],
    names: Names,
    fields: Sequence[Field | NestedField],
    collections: Sequence[Collection],
) -> View:
    """Return the view with some fields of a resource."""
    readable = [field for field in fields if field.readable]
    kept = (column for field in readable for column in field.columns)
    columns = tuple(dict.fromkeys([*names.columns, *kept]))
    # A field of one column is read without a call of ours where its codec needs none: most fields of most rows are.
    plain = tuple(
        (field.name, columns.index(field.column), field.codec.to_message)
        for field in readable
        if isinstance(field, Field)
    )
    nested = tuple(
        (field.name, field.reader(columns.index)) for field in readable if isinstance(field, NestedField)
    )
    depth = len(names.columns)
    name_of = names.format

    def to_message(row: Row[Any]) -> Message:
        values: dict[str, Any] = {"name": name_of(tuple(row[:depth]))}
        for name, index, convert in plain:
            value = row[index]
            if value is not None:
                values[name] = convert(value) if convert else value
        for name, read in nested:
            if (value := read(row)) is not None:
                values[name] = value
        return message(**values)

    return View(columns, to_message, tuple(collections), depth)
