"""Fields that hold the names of other resources (AIP-122), and the foreign keys that keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import Column, Connection, Table, select
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import option
from tablestakes.crud.schema.codec import Codec
from tablestakes.crud.schema.name import Names
from tablestakes.database import Database, FaultKind, diagnose
from tablestakes.errors import FieldViolation, StatusError, invalid_field, invalid_fields, not_found


@dataclass(frozen=True)
class Reference:
    """What a field refers to.

    Attributes:
        names: The names of the resource that it refers to.
    """

    names: Names

    @property
    def codec(self) -> Codec:
        """The way between a name and the key in a foreign key's column; no name is no key."""
        return Codec(lambda key: self.names.format((key,)), self.key)

    def key(self, name: str, path: str) -> Any | None:
        """Return the key that a name stands for, None for no name.

        Raises:
            StatusError: INVALID_ARGUMENT, it is not a name of such a resource, or of one that cannot exist.
        """
        if not name:
            return None
        try:
            (key,) = self.names.parse(name, path).values()
        except StatusError as error:
            raise error if error.violations else missing(path, name) from None
        return key


def reference_to(field: FieldDescriptor, names: Mapping[str, Names]) -> Reference | None:
    """Return what a field refers to by its `google.api.resource_reference`, or None where it does not refer.

    Raises:
        DeclarationError: It refers to a type that is not served, or that one column cannot name.
    """
    kind: str = option(field, resource_pb2.resource_reference).type
    if not kind or field.type != FieldDescriptor.TYPE_STRING:
        return None
    if kind not in names:
        raise DeclarationError(f"{field.full_name} refers to {kind}, which is not served; {likely(kind, names)}")
    if len(names[kind].columns) != 1:
        raise DeclarationError(f"{field.full_name} refers to {kind}, whose name needs more than one column")
    return Reference(names[kind])


def missing(path: str, name: str) -> StatusError:
    """Return INVALID_ARGUMENT for a reference to a resource that does not exist."""
    return invalid_field(path, f"{name} does not exist.", "REFERENCE_NOT_FOUND")


def exists(connection: Connection, column: Column[Any], keys: Sequence[Any]) -> set[Any]:
    """Return those of some keys that a foreign key's column may hold."""
    (foreign_key,) = column.foreign_keys
    target = foreign_key.column
    return set(connection.scalars(select(target).where(target.in_(keys))))


async def explain(
    database: Database,
    table: Table,
    values: Mapping[str, Any],
    paths: Mapping[str, str],
    error: IntegrityError,
    parent: str,
) -> StatusError | None:
    """Return the status of a write that a foreign key refused, or None where it was something else.

    PostgreSQL names the constraint, SQLite does not; so both are asked which of the rows is not there.

    Args:
        database: Where the write was refused.
        table: What was to be written to.
        values: What was to be written, by column.
        paths: The path in the request behind each column.
        error: What the database said.
        parent: The parent's name in the request, or "".
    """
    fault = diagnose(error)
    if fault is None or fault.kind is not FaultKind.REFERENCE:
        return None
    keys = [column for column in table.columns if column.foreign_keys and values.get(column.name) is not None]

    def absent(connection: Connection) -> list[Column[Any]]:
        return [column for column in keys if not exists(connection, column, [values[column.name]])]

    columns = await database.run(absent)
    if any(column.name not in paths for column in columns):
        return not_found(parent)
    if not columns:
        return None
    return invalid_fields(
        *(
            FieldViolation(paths[column.name], "refers to a resource that does not exist.", "REFERENCE_NOT_FOUND")
            for column in columns
        )
    )
