"""Which of the orders and filters that a resource declares no index serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.query.order import Order, Orders, Term
from tablestakes.crud.resource import Resource
from tablestakes.crud.schema.deletion import is_of_live
from tablestakes.crud.schema.path import PathError, resolve
from tablestakes.crud.schema.schema import Schema
from tablestakes.errors import StatusError
from tablestakes.filter.construct import Bytewise


@dataclass(frozen=True)
class _Index:
    """The columns of an index, each with whether its greatest value comes first, and whether it is unique."""

    columns: tuple[tuple[Column[Any], bool], ...]
    unique: bool


def unserved(schema: Schema, resource: Resource) -> Iterator[str]:
    """Yield a line for each order and each filter of a declaration that no index serves.

    An index serves an order where it begins with the columns of the parent's ids, and goes on with the columns of
    the order, all the same way as in the order or all the other way.

    Raises:
        DeclarationError: An order, or a field to filter by, is none.
    """
    orders = Orders(schema)
    name, indexes = schema.descriptor.name, list(_indexes(schema.table))
    for text in dict.fromkeys(("", *resource.orders)):
        try:
            order = orders.read(text)
        except StatusError as error:
            raise DeclarationError(
                f"{schema.descriptor.full_name}: orders {error.violations[0].description}"
            ) from None
        parent = frozenset(schema.names.columns[:-1])
        if not any(_serves(index, parent, order) for index in indexes):
            said = (
                f"order {text or schema.default_order}" if text or schema.default_order else "the order of its keys"
            )
            columns = ", ".join(_described(term) for term in order.terms)
            below = "".join(f"{column.name}, " for column in schema.names.columns[:-1])
            yield f"{name}: no index serves {said}; an index of {schema.table.name} ({below}{columns}) would"
    for path in resource.filterable:
        try:
            found = resolve(schema, tuple(path.split(".")))
        except PathError:
            raise DeclarationError(
                f"{schema.descriptor.full_name}: filterable names {path}, which is no field"
            ) from None
        if not found.indexed:
            yield f"{name}: no index serves a filter by {path}"


def _serves(index: _Index, parent: frozenset[Column[Any]], order: Order) -> bool:
    first, rest = index.columns[: len(parent)], index.columns[len(parent) :]
    if {column for column, _ in first} != parent:
        return False
    ways = set()
    for place, term in enumerate(order.terms):
        if place == len(rest):
            # No two rows below the parent are alike in the columns so far.
            return index.unique
        column, descending = rest[place]
        if term.column is not column or isinstance(term.compared(term.value), Bytewise):
            return False
        ways.add(descending == term.descending)
    return len(ways) == 1


def _described(term: Term) -> str:
    described = str(term.value) if term.column is None else term.column.name
    return f"{described} DESC" if term.descending else described


def _indexes(table: Table) -> Iterator[_Index]:
    for constraint in table.constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint):
            yield _Index(tuple((column, False) for column in constraint.columns), unique=True)
    for index in table.indexes:
        columns = [_column(each) for each in index.expressions]
        partial = any(options.get("where") is not None for options in index.dialect_options.values())
        among_live = is_of_live(index)  # as are the rows of a List
        if (not partial or among_live) and all(columns):
            yield _Index(tuple(filter(None, columns)), unique=bool(index.unique) and not among_live)


def _column(expression: Any) -> tuple[Column[Any], bool] | None:
    """Return the column of an expression, and whether its greatest value comes first; None where it has no one."""
    if isinstance(expression, Column):
        return expression, False
    if isinstance(expression, UnaryExpression) and expression.modifier is desc_op:
        return (expression.element, True) if isinstance(expression.element, Column) else None
    return None
