"""Statements under row security: each one that a caller's work runs has its conditions, whoever wrote it.

They are added where SQLAlchemy runs a statement, and not where one is built: a verb or a function cannot forget
them. Like PostgreSQL's row security they hold for a table wherever a statement reads it, also in a subquery.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, Table, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql import Alias, ClauseElement, Join
from sqlalchemy.sql.selectable import FromGrouping
from sqlalchemy.sql.visitors import cloned_traverse, iterate

from tablestakes.crud.security.row_security import RowSecurity, current_security
from tablestakes.crud.security.rules import Row

OPTION = "row_security"
"""The execution option of a SELECT that says how it uses rows; else its FOR UPDATE says it."""

WRITE = "write"
"""Rows that are to be written, or were."""


class EveryRow(Alias):
    """An alias of a table that stands for every row of it, to look whether the data fits together."""

    inherit_cache = True


def every_row(table: Table) -> EveryRow:
    """Return an alias of a table that is not under row security."""
    made: EveryRow = EveryRow._construct(table)
    return made


@dataclass(frozen=True)
class Restricted:
    """A statement with its conditions.

    Attributes:
        statement: The statement.
        names: The names of the bound parameters that the conditions have.
    """

    statement: Any
    names: frozenset[str]


def secure(engine: Engine) -> None:
    """Put the statements of an engine under the row security of the call that runs them.

    Args:
        engine: The engine.
    """
    event.listen(engine, "before_execute", before_execute, retval=True)


def before_execute(_: Connection, statement: Any, many: Any, parameters: Any, options: Any) -> tuple[Any, Any, Any]:
    """Restrict a statement to the rows that the caller may use."""
    security = current_security.get()
    if security is None or not isinstance(statement, ClauseElement):
        return statement, many, parameters
    use = options.get(OPTION)
    key = (statement, security.target, use)
    found: Restricted | None = security.rules.statements.get(key)
    if found is None:
        found = restrict(statement, security, use)
        security.rules.keep(key, found)
    if not found.names:
        return found.statement, many, parameters
    values = security.parameters
    more = {name: values[name] for name in found.names}
    if many:
        return found.statement, [{**each, **more} for each in many], parameters
    return found.statement, many, {**parameters, **more}


def restrict(statement: Any, security: RowSecurity, use: str | None = None) -> Restricted:
    """Return a statement that reads and changes the rows alone that a caller may use.

    Args:
        statement: A statement of SQLAlchemy.
        security: The rules.
        use: WRITE, or None where the statement itself says how it uses rows.
    """
    added: list[ColumnElement[bool]] = []

    def on_select(select: Any) -> None:
        locking = select._for_update_arg
        writes = use == WRITE or (locking is not None and not locking.read and not locking.key_share)
        for source in select.get_final_froms():
            add(select, list(_conditions(source, security, writes=writes)))

    def on_change(change: Any) -> None:
        if (rules := security.rules.tables.get(change.table)) is not None:
            add(change, rules.condition(_own, writes=True))

    def add(element: Any, conditions: list[ColumnElement[bool]]) -> None:
        # The element is the traversal's own copy, which is not in use yet.
        element._where_criteria += tuple(conditions)
        added.extend(conditions)

    visitors = {"select": on_select, "update": on_change, "delete": on_change}
    made = cloned_traverse(statement, {}, visitors)
    if not added:
        return Restricted(statement, frozenset())
    names = {each.key for clause in added for each in iterate(clause) if isinstance(each, BindParameter)}
    return Restricted(made, frozenset(names & security.parameters.keys()))


def _conditions(
    source: Any, security: RowSecurity, *, writes: bool, optional: bool = False
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for the rows of the tables in a FROM.

    Args:
        source: What is selected from.
        security: The rules.
        writes: Whether the rows are to be written.
        optional: Whether there may be no row of it: it is the right side of an outer join.
    """
    if isinstance(source, Join):
        yield from _conditions(source.left, security, writes=writes, optional=optional or source.full)
        yield from _conditions(source.right, security, writes=writes, optional=source.isouter or source.full)
        return
    if isinstance(source, FromGrouping):
        yield from _conditions(source.element, security, writes=writes, optional=optional)
        return
    if isinstance(source, EveryRow):
        return
    table = source.element if isinstance(source, Alias) else source
    rules = security.rules.tables.get(table) if isinstance(table, Table) else None
    if rules is None:
        return
    row = _own if source is table else _of(source)
    if optional and rules.absent is not None and source is table:
        row = rules.absent
    yield from rules.condition(row, writes=writes or table is security.target)


def _own(column: Column[Any]) -> ColumnElement[Any]:
    return column


def _of(source: Alias) -> Row:
    def row(column: Column[Any]) -> ColumnElement[Any]:
        return source.c[column.key]

    return row
