"""A change of one row under conditions. Where they do not hold it tells what the row is like, in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    literal_column,
    select,
    true,
)

Told = Sequence[Any] | None


class Conditional:
    """A change of one row under conditions.

    On PostgreSQL the change is a common table expression of the statement that looks for the row where nothing was
    changed. SQLite has no such thing, and no round trips: there the look is a statement of its own, between which
    and the change nothing is written, for the writer is one connection.

    What is told was read as the statement began. A change that had to wait for another transaction may so be told
    what the row was before it: where the conditions hold of what is told, the change is to be tried again.

    Args:
        change: The change, with its conditions.
        returning: The columns of the changed row to return; the first is never NULL.
        look: Selects what is told of the row, at least one column.
    """

    def __init__(
        self, change: Insert | Update | Delete, returning: Sequence[ColumnElement[Any]], look: Select[Any]
    ) -> None:
        self._width = len(returning)
        self._change = change.returning(*returning)
        self._look = look
        changed = self._change.cte("changed")
        nothing = ~select(changed.c[0]).exists()
        told = look.add_columns(literal_column("true").label("there")).where(nothing).cte("told")
        one = select(literal_column("1").label("one")).subquery("one")
        self._together = select(*changed.c, *told.c).select_from(
            one.outerjoin(changed, true()).outerjoin(told, true())
        )

    def execute(self, connection: Connection, parameters: Mapping[str, Any]) -> tuple[Row[Any] | None, Told]:
        """Return the changed row; or else None, and what is told of the row, or None where there is none."""
        if connection.dialect.name != "postgresql":
            row = connection.execute(self._change, parameters).first()
            return row, None if row is not None else connection.execute(self._look, parameters).first()
        both: Any = connection.execute(self._together, parameters).one()
        if both[0] is not None:
            return both[: self._width], None
        return None, both[self._width : -1] if both[-1] else None


def to(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `given` for values by column."""
    return {f"to_{name}": value for name, value in values.items()}


def given(names: frozenset[str], table: Table) -> dict[str, ColumnElement[Any]]:
    """Return the parameters `to_<column>` of columns of a table: a statement inside another has to name its own."""
    return {name: bindparam(f"to_{name}", type_=table.c[name].type) for name in sorted(names)}
