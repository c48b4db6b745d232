"""The row security of one call: the rules that its caller is under, while its work is done."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Table

from tablestakes.crud.security.rules import FieldRules, Rules


@dataclass(frozen=True, eq=False)
class RowSecurity:
    """The rules for one call.

    Attributes:
        rules: The rules.
        parameters: The values of the bound parameters of their conditions, by name.
        fields: The rules of fields, by the full name of the resource's message.
        target: The table whose rows the call writes: what may not be written of it is not there for the call, in
            any statement. None for a call that only reads.
    """

    rules: Rules
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, FieldRules] = field(default_factory=dict)
    target: Table | None = None

    def checks(self, table: Table, columns: Collection[str] | None) -> bool:
        """Return whether a row has to be looked at after it was written.

        Args:
            table: Its table.
            columns: The columns that were written; None for a new row.
        """
        found = self.rules.tables.get(table)
        if found is None or (found.read is None and found.write is None):
            return False
        return columns is None or not found.columns.isdisjoint(columns)


current_security: ContextVar[RowSecurity | None] = ContextVar("current_security", default=None)
"""The rules that statements are under, for the task that serves a call and those that it starts; None for none."""


@contextmanager
def as_reader() -> Iterator[None]:
    """Let statements inside see the rows that the caller may see, whether it may write them or not."""
    security = current_security.get()
    token = current_security.set(None if security is None else replace(security, target=None))
    try:
        yield
    finally:
        current_security.reset(token)


@contextmanager
def elevated() -> Iterator[None]:
    """Let statements inside use every row, as PostgreSQL lets those of a function with SECURITY DEFINER."""
    token = current_security.set(None)
    try:
        yield
    finally:
        current_security.reset(token)
