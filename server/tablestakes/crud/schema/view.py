"""What of a resource a read returns: all of it, or what is cheap (AIP-157)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import Column, Connection, Row

from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.name import Names


@dataclass(frozen=True, eq=False)
class View:
    """The columns of a view, and the way from their rows to messages.

    Attributes:
        columns: What a statement selects or returns so that `messages` can read its rows.
        to_message: From such a row to a message without its collections.
        collections: The repeated fields.
    """

    columns: tuple[Column[Any], ...]
    to_message: Callable[[Row[Any]], Message]
    collections: tuple[Collection, ...]
    keys: int

    def messages(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Message]:
        """Return the messages of rows, in their order, in one statement more for each collection.

        Args:
            connection: What the collections are read on.
            rows: Rows of `columns`.
        """
        messages = [self.to_message(row) for row in rows]
        if self.collections and messages:
            by_key = {row[self.keys - 1]: message for row, message in zip(rows, messages, strict=True)}
            for collection in self.collections:
                collection.read(connection, by_key)
        return messages

    def message(self, connection: Connection, row: Row[Any]) -> Message:
        """Return the message of one row."""
        return self.messages(connection, [row])[0]


def view_of(
    message: type[Message], names: Names, fields: Sequence[Field], collections: Sequence[Collection]
) -> View:
    """Return the view with some fields of a resource."""
    readable = [field for field in fields if field.readable]
    # The key's columns first: the name is made of them.
    columns = tuple(dict.fromkeys([*names.columns, *(field.column for field in readable)]))
    steps = tuple((field.name, columns.index(field.column), field.codec.to_message) for field in readable)
    keys = len(names.columns)
    name_of = names.format

    def to_message(row: Row[Any]) -> Message:
        values: dict[str, Any] = {"name": name_of(tuple(row[:keys]))}
        for name, index, convert in steps:
            value = row[index]
            if value is not None:
                values[name] = convert(value) if convert else value
        return message(**values)

    return View(columns, to_message, tuple(collections), keys)


def wants_basic(request: Descriptor, *, by_default: bool) -> Callable[[Any], bool]:
    """Return the function that says whether a request asks for the BASIC view.

    Args:
        request: The request's message; one without a field `view` asks for everything.
        by_default: What a request without a choice means.
    """
    field = request.fields_by_name.get("view")
    if field is None or field.enum_type is None:
        return lambda _: False
    basic = {value.number for value in field.enum_type.values if value.name.endswith("BASIC")}
    chosen = basic | {0} if by_default else basic
    return lambda request: request.view in chosen
