"""A repeated field that holds messages: a row of another table for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Column, Connection

from tablestakes.crud.schema.collection import Replace, Rows, require_filled
from tablestakes.crud.schema.field import Field, Fields
from tablestakes.crud.schema.reference import existing, missing


@dataclass(frozen=True, eq=False)
class ItemList:
    """A repeated field that holds messages, each kept as a row of another table.

    Attributes:
        name: As for Collection, and likewise the next two.
        writable: Whether callers may set it.
        immutable: Whether only Create may set it.
        rows: The rows of that table.
        fields: The fields of an item.
        item: Makes an item of a row.
        position: The column that keeps an item's place in the field, counted from 0; None where another order of
            the relationship says it.
    """

    name: str
    writable: bool
    immutable: bool
    rows: Rows
    fields: Fields
    item: Callable[[Sequence[Any]], Message]
    position: Column[Any] | None
    readable: bool = True

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""
        return bool(getattr(message, self.name))

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""
        self.rows.fill(connection, messages, self.name, self.item)

    def replacement(self, message: Message, path: str) -> Replace:
        """Return the function that makes the rows of an owner the items of a message's field."""
        items = list(getattr(message, self.name))
        writable = [field for field in self.fields.values() if field.writable]
        rows = []
        for index, item in enumerate(items):
            # Every field in every row, set or not: one INSERT of many rows has the same columns in each.
            row: dict[str, Any] = {} if self.position is None else {self.position.name: index}
            for field in writable:
                row |= field.values(item, f"{path}.{self.name}[{index}]")
            rows.append(row)

        def replace(connection: Connection, owner: Any) -> None:
            for field in writable:
                if isinstance(field, Field) and field.reference is not None:
                    self._require_existing(connection, field, rows, items, path)
            self.rows.replace(connection, owner, rows)

        return replace

    def _require_existing(
        self,
        connection: Connection,
        field: Field,
        rows: Sequence[Mapping[str, Any]],
        items: Sequence[Message],
        path: str,
    ) -> None:
        ids = [row.get(field.column.name) for row in rows]
        if wanted := {id_ for id_ in ids if id_ is not None}:
            unknown = wanted - existing(connection, field.column, wanted, keep=True)
            for index, id_ in enumerate(ids):
                if id_ in unknown:
                    below = f"{path}.{self.name}[{index}].{field.name}"
                    raise missing(below, getattr(items[index], field.name))

    def require_writable(self, method: str) -> None:
        """Verify that a row needs no value but the owner, the position and the fields that callers may set."""
        filled = {column.name for field in self.fields.values() if field.writable for column in field.columns}
        filled |= {self.rows.owner.name} | ({self.position.name} if self.position is not None else set())
        require_filled(method, self.rows.owner.table, filled)
