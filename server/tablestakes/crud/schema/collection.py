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
from tablestakes.crud.schema.reference import existing, missing
from tablestakes.errors import invalid_fields


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a request, of a resource to which a row is to refer.

    Attributes:
        column: The row's column that refers to it.
        id: The id in the name.
        path: The path of the name in the request.
        name: The name.
    """

    column: Column[Any]
    id: Any
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """The rows that an owner is to have in place of its own.

    Attributes:
        rows: Their values by column, without the owner.
        mentions: The resources to which they refer.
    """

    rows: Sequence[Mapping[str, Any]]
    mentions: Sequence[Mention] = ()


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

    @property
    def rows(self) -> "OwnedRows":
        """Its rows."""

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""

    def masked(self, mask: Mask) -> "Collection":
        """Return the collection with those parts of its items that a mask selects."""

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""

    def replacement(self, message: Message, path: str) -> Replacement:
        """Return the rows that an owner has by a message's field.

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
        delete: Deletes the rows of the owners `owners`.
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
            delete=delete(owner.table).where(owner.in_(bindparam("owners", expanding=True))),
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

    def replace(self, connection: Connection, replacements: Mapping[Any, Replacement]) -> None:
        """Replace the rows of owners, given by their ids, in as many statements for many as for one.

        Args:
            connection: A connection, in a transaction.
            replacements: The new rows of each owner.

        Raises:
            StatusError: INVALID_ARGUMENT on each name of a resource that does not exist.
        """
        require_existing(connection, [each for new in replacements.values() for each in new.mentions])
        if not replacements:
            return
        connection.execute(self.delete, {"owners": padded(list(replacements))})
        rows = [{self.owner.name: owner, **row} for owner, new in replacements.items() for row in new.rows]
        if rows:
            connection.execute(self.insert, rows)


def replace_lists(
    connection: Connection, owned: Iterable[tuple[Any, Sequence[tuple[OwnedRows, Replacement]]]]
) -> None:
    """Replace the rows of several collections of many owners, in as many statements as for one owner.

    Args:
        connection: A connection, in a transaction.
        owned: The id of each owner, and the new rows of its collections.

    Raises:
        StatusError: As `OwnedRows.replace`.
    """
    found: dict[OwnedRows, dict[Any, Replacement]] = defaultdict(dict)
    for owner, lists in owned:
        for rows, replacement in lists:
            found[rows][owner] = replacement
    for rows, replacements in found.items():
        rows.replace(connection, replacements)


def require_existing(connection: Connection, mentions: Sequence[Mention]) -> None:
    """Require that resources exist, and keep them from being deleted until the transaction ends.

    Raises:
        StatusError: INVALID_ARGUMENT on each name of one that does not exist.
    """
    ids: dict[Column[Any], set[Any]] = defaultdict(set)
    for each in mentions:
        ids[each.column].add(each.id)
    unknown = {column: wanted - existing(connection, column, wanted, keep=True) for column, wanted in ids.items()}
    absent = [missing(each.path, each.name) for each in mentions if each.id in unknown[each.column]]
    if absent:
        raise invalid_fields(*(violation for error in absent for violation in error.violations))


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
