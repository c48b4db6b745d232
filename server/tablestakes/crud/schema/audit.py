"""The columns that say when a row was made and changed, and by whom; the engine fills them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Table
from sqlalchemy.types import TypeDecorator

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.codec import python_type
from tablestakes.crud.session import Session

CREATE_TIME, UPDATE_TIME, CREATED_BY, UPDATED_BY = "create_time", "update_time", "created_by", "updated_by"
AUDIT_COLUMNS = (CREATE_TIME, UPDATE_TIME, CREATED_BY, UPDATED_BY)


@dataclass(frozen=True)
class Audit:
    """The audit columns that a table has, by their names.

    Attributes:
        columns: The names of those that it has.
    """

    columns: frozenset[str]

    @property
    def changing(self) -> frozenset[str]:
        """The names of those that change with the row."""
        return self.columns & {UPDATE_TIME, UPDATED_BY}

    def created(self, session: Session) -> dict[str, Any]:
        """Return their values for a row that is made."""
        return {name: value for name, value in session.created.items() if name in self.columns}

    def changed(self, session: Session) -> dict[str, Any]:
        """Return the values of those that change with the row, for a row that is changed."""
        return {name: value for name, value in session.changed.items() if name in self.columns}


def audit_of(table: Table) -> Audit:
    """Return the audit columns of a table, found by their names.

    Raises:
        DeclarationError: One of them has a type that cannot keep its value, or a value of its own.
    """
    found = [table.c[name] for name in AUDIT_COLUMNS if name in table.c]
    for column in found:
        where = f"{table.name}.{column.name}"
        if column.name in (CREATE_TIME, UPDATE_TIME):
            if python_type(column) is not datetime or not _has_zone(column):
                raise DeclarationError(f"{where} must be an instant: use tablestakes.Instant")
        elif python_type(column) is not str or not column.nullable:
            raise DeclarationError(f"{where} must be text that may be NULL: nobody is known without authentication")
        if column.default is not None or column.onupdate is not None:
            raise DeclarationError(f"{where} must have neither default nor onupdate: the engine fills it")
    return Audit(frozenset(column.name for column in found))


def _has_zone(column: Column[Any]) -> bool:
    kind: Any = column.type
    kind = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return isinstance(kind, DateTime) and kind.timezone
