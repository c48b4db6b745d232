"""A repeated field of a resource that another table keeps, and the rows of that table."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.mask import Mask

Replace = Callable[[Connection, Any], None]
"""Replaces the rows of one owner, given its id, in a transaction. It raises StatusError, INVALID_ARGUMENT, where a
row refers to a resource that does not exist."""


class Collection(Protocol):
    """A repeated field of a resource that another table keeps."""

    @property
    def name(self) -> str:
        """Its name in the proto."""

    @property
    def writable(self) -> bool:
        """Whether callers may set it."""

    @property
    def immutable(self) -> bool:
        """Whether only Create may set it."""

    @property
    def readable(self) -> bool:
        """Whether it is ever returned."""

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""

    def masked(self, mask: Mask) -> "Collection":
        """Return the collection with those parts of its items that a mask selects."""

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""

    def replacement(self, message: Message, path: str) -> Replace:
        """Return the function that makes the rows of an owner those of a message's field.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of an item below that of the message.
        """

    def require_writable(self, method: str) -> None:
        """Verify at start that a standard method can write the field.

        Raises:
            DeclarationError: A column of its table would have no value.
        """


@dataclass(frozen=True, eq=False)
class OwnedRows:
    """The rows of a collection in their table.

    Attributes:
        owner: The column that refers to the row's owner.
        select: Selects the rows of the owners `owners`: the owner, then what an item is made of.
        delete: Deletes the rows of the owner `owner`.
        insert: Inserts rows.
    """

    owner: Column[Any]
    select: Select[Any]
    delete: Delete
    insert: Insert

    @staticmethod
    def of(owner: Column[Any], columns: Iterable[ColumnElement[Any]], order: Iterable[Any]) -> "OwnedRows":
        """Return the rows that an owner column finds, with some columns, in an order."""
        return OwnedRows(
            owner=owner,
            select=select(owner, *columns)
            .where(owner.in_(bindparam("owners", expanding=True)))
            .order_by(owner, *order),
            delete=delete(owner.table).where(owner == bindparam("owner")),
            insert=insert(owner.table),
        )

    def fill(
        self, connection: Connection, messages: Mapping[Any, Message], name: str, item: Callable[..., Any]
    ) -> None:
        """Fill a repeated field of messages, given by their ids, with what `item` makes of each row."""
        items: dict[Any, list[Any]] = defaultdict(list)
        for row in connection.execute(self.select, {"owners": padded(list(messages))}):
            items[row[0]].append(item(row))
        for id_, values in items.items():
            getattr(messages[id_], name).extend(values)

    def replace(self, connection: Connection, owner: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace the rows of an owner."""
        connection.execute(self.delete, {"owner": owner})
        if rows:
            connection.execute(self.insert, [{self.owner.name: owner, **row} for row in rows])


def padded(ids: list[Any]) -> list[Any]:
    """Return ids for an `IN` with the last of them repeated, so that their number is a power of two.

    Each number of them is a statement of its own, which the database prepares and the driver keeps: of up to 1,000
    ids there are eleven statements, and not a thousand.
    """
    return ids + ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))


def require_filled(method: str, table: Any, filled: set[str]) -> None:
    """Require that a method which writes some columns of a table leaves none without the value that it needs.

    Raises:
        DeclarationError: It does.
    """
    if unfilled := unfilled_columns(table, filled):
        raise DeclarationError(
            f"{method} cannot write {table.name}: {', '.join(unfilled)} would have no value. Give it a default, or"
            f" serve {method.rpartition('.')[2]} by a function"
        )


def unfilled_columns(table: Table, filled: set[str]) -> list[str]:
    """Return the names of the columns that an INSERT of some others leaves without the value that they need."""
    return [
        column.name
        for column in table.columns
        if column.name not in filled
        and not column.nullable
        and column.default is None
        and column.server_default is None
        and column.computed is None
        and column.identity is None
        and column is not table.autoincrement_column
    ]
