"""Soft deletion (AIP-164): the row of a deleted resource stays, with the time of its deletion, until it is purged.

A row is live until its `delete_time` is set. A table without that column has live rows only.
"""

from datetime import datetime

from google.protobuf.descriptor import Descriptor
from sqlalchemy import ColumnElement, FromClause, Index, Table

from tablestakes.columns import DELETE_TIME, EXPIRE_TIME
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.behavior import OUTPUT_ONLY, behaves
from tablestakes.crud.schema.codec import python_type

TIMESTAMP = "google.protobuf.Timestamp"


class DanglingError(Exception):
    """A write would make a live row refer to a deleted one: to its callers, to one that is not there."""


def live(table: FromClause) -> list[ColumnElement[bool]]:
    """Return the conditions under which a row of a table, or of an alias, is not deleted; none for any row."""
    column = table.c.get(DELETE_TIME)
    return [] if column is None else [column.is_(None)]


def is_of_live(index: Index) -> bool:
    """Return whether an index is one of `tablestakes.columns.unique_among_live`."""
    return bool(index.info.get(DELETE_TIME))


def deletes_softly(message: Descriptor, table: Table, *, singleton: bool) -> bool:
    """Return whether a resource is deleted softly: its message has `delete_time`, and its table keeps it.

    Raises:
        DeclarationError: Message and table do not fit together.
    """
    asked, kept = message.fields_by_name.get(DELETE_TIME), table.c.get(DELETE_TIME)
    if asked is None and kept is None:
        return False
    if asked is None:
        raise DeclarationError(
            f"{table.name} has {DELETE_TIME}, and {message.full_name} has not: give it `google.protobuf.Timestamp"
            f" {DELETE_TIME}`, OUTPUT_ONLY"
        )
    for name in (DELETE_TIME, EXPIRE_TIME):
        field, column = message.fields_by_name.get(name), table.c.get(name)
        if field is not None:
            kind = field.message_type.full_name if field.message_type else ""
            if kind != TIMESTAMP or field.is_repeated or not behaves(field, OUTPUT_ONLY):
                raise DeclarationError(f"{field.full_name} must be an OUTPUT_ONLY {TIMESTAMP}")
        if column is None or python_type(column) is not datetime or not column.nullable:
            raise DeclarationError(
                f"{message.full_name} is deleted softly: make the model of {table.name} tablestakes.SoftDeleted"
            )
    if singleton:
        raise DeclarationError(f"{message.full_name} is a singleton: it is deleted with its parent (AIP-156)")
    return True
