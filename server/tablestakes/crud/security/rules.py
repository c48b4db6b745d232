"""The rules of callers who are alike: which rows of each table they may see and write, and which fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Table

Row = Callable[[Column[Any]], ColumnElement[Any]]
"""A row that a condition is about: given a column of its table, it returns the column in the statement."""

Clause = Callable[[Row], ColumnElement[bool]]
"""A condition for a row. It is never NULL."""

# Statements that are kept as they are restricted.
MOST_STATEMENTS = 500


@dataclass(frozen=True, eq=False)
class TableRules:
    """The rows of one table that a caller may use.

    Attributes:
        read: The condition for those that it may see; None for every row.
        write: The condition for those of them that it may change, create and delete; None for all of them.
        columns: The columns that the conditions are about: a write of others leaves both as they are.
        absent: For a singleton (AIP-156), its row beside the parent's where there may be none yet; else None.
    """

    read: Clause | None
    write: Clause | None
    columns: frozenset[str]
    absent: Row | None = None

    def condition(self, row: Row, *, writes: bool) -> list[ColumnElement[bool]]:
        """Return the conditions for a row, none for every row.

        Args:
            row: The row.
            writes: Whether it is to be written, and not only seen.
        """
        wanted = (self.read, self.write) if writes else (self.read,)
        return [clause(row) for clause in wanted if clause is not None]


@dataclass(frozen=True)
class FieldRules:
    """The fields of one resource that a caller may not use as others may.

    Attributes:
        hidden: The names of those that it is never told.
        fixed: The names of those that it may not set.
        presets: The values that the service sets, by the name of the field; None where the caller lacks it.
    """

    hidden: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    presets: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules of all callers with the same roles and the same attributes, whatever the values of those.

    Attributes:
        tables: The rules of each table that has any.
        hidden: The full names of the fields that they are never told: `marketplace.v1.User.email`.
        statements: Statements as they are restricted by the rules, by the statement and how it is used.
    """

    tables: Mapping[Table, TableRules]
    hidden: frozenset[str] = frozenset()
    statements: dict[Any, Any] = field(default_factory=dict)

    def keep(self, key: Any, statement: Any) -> None:
        """Keep a statement as it is restricted."""
        if len(self.statements) >= MOST_STATEMENTS:
            # Some are made for one call: in time they would be all that is kept.
            self.statements.clear()
        self.statements[key] = statement
