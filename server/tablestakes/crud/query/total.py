"""The number of resources that a List has on all its pages together (AIP-132 `total_size`), at a bounded cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

MOST_COUNTED = 100_000
"""How many rows are counted at most, where no setting says otherwise."""

# The greatest estimate of the planner for a count, per row that may be counted: 0.01 for a row by its default,
# 0.0025 for each condition, and the row's share of a page that is read in order, 1.0.
ROW_COST = 0.05

# The planner takes a table that was never analyzed for a larger one than it may be.
LEAST_COST = 100.0


@dataclass(frozen=True)
class Total:
    """How many rows there are.

    Attributes:
        exact: The number; None where counting would have cost too much.
        estimate: About how many there are, where they were not counted; else None.
    """

    exact: int | None = None
    estimate: int | None = None


class Counting:
    """The statements that find out how many rows some conditions leave.

    Args:
        table: The table.
        conditions: The conditions.
        most: How many rows are counted at most.
    """

    def __init__(self, table: Table, conditions: Sequence[ColumnElement[bool]], most: int) -> None:
        self._most = most
        rows = select(literal(1)).select_from(table).where(*conditions)
        self._count: Select[Any] = select(func.count()).select_from(rows.limit(most + 1).subquery())
        self._plan = _Plan(rows)

    def total(self, connection: Connection, parameters: Mapping[str, Any]) -> Total:
        """Return how many rows there are.

        PostgreSQL's planner is asked first, in a fraction of a millisecond. Where it expects more rows than are
        counted, or that finding a few of them means to read many, its estimate is the answer. SQLite's has none:
        there counting ends at the bound, and the estimate is the bound.

        Args:
            connection: The connection.
            parameters: The parameters of the conditions.
        """
        expected = 0
        if connection.dialect.name == "postgresql":
            (plan,) = connection.execute(self._plan, parameters).scalar_one()
            expected = int(plan["Plan"]["Plan Rows"])
            affordable = max(self._most * ROW_COST, LEAST_COST)
            if expected > self._most or plan["Plan"]["Total Cost"] > affordable:
                return Total(estimate=expected)
        counted: int = connection.execute(self._count, parameters).scalar_one()
        return Total(exact=counted) if counted <= self._most else Total(estimate=max(counted, expected))


class _Plan(Executable, ClauseElement):
    """The plan that PostgreSQL makes for a statement, as a document; the statement is not run."""

    inherit_cache = True
    _traverse_internals = [("element", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy has it so

    def __init__(self, element: Select[Any]) -> None:
        self.element = element

    @property
    def _all_selected_columns(self) -> tuple[()]:
        # SQLAlchemy asks for them where it compiled another statement of the same form.
        return ()


@compiles(_Plan)
def _explain(plan: _Plan, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(plan.element, **options)}"
