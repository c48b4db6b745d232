"""The statement of a page: the rows after a place in an order, found by an index and not by counting.

`a > x OR (a = x AND b > y)` would be read from the start of an index. So the rows after a place are taken apart
into ranges that an index can be entered at: one range where all columns go the same way, as a comparison of rows,
and else the rows that are equal to the place so far and after it in the next columns, for each way in turn.
PostgreSQL merges the ranges, which are in order, and reads of each no more than a page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, select, tuple_, union_all

from tablestakes.crud.query.order import Order, Term

LIMIT, SKIP, REACH = "page_limit", "page_skip", "page_reach"


@dataclass(frozen=True, eq=False)
class PageStatement:
    """The statement of a page.

    Attributes:
        select: The statement.
        places: The position in its rows of the value of each column of the order.
    """

    select: Select[Any]
    places: tuple[int, ...]

    def place(self, row: Row[Any]) -> tuple[Any, ...]:
        """Return the place of a row in the order."""
        return tuple(row[index] for index in self.places)


def page_statement(
    columns: Sequence[ColumnElement[Any]],
    order: Order,
    conditions: Sequence[ColumnElement[bool]],
    *,
    after: tuple[bool, ...] | None,
    skip: bool,
) -> PageStatement:
    """Return the statement of a page; `page_parameters` gives its parameters.

    Args:
        columns: The columns to read; those of the order that are not among them are read after them.
        order: The order.
        conditions: The conditions on the rows.
        after: For each column of the order, whether the place that the page begins after has a value of it; None
            for the first page.
        skip: Whether rows are left out before the page.
    """
    read = [*columns, *dict.fromkeys(term.value for term in order.terms if _index(columns, term.value) is None)]
    places = tuple(index for term in order.terms if (index := _index(read, term.value)) is not None)
    ranges = [()] if after is None else list(_ranges(order.terms, after))
    if len(ranges) == 1:
        ordered = [term.ordered(term.value) for term in order.terms]
        page = select(*read).select_from(order.rows).where(*conditions, *ranges[0]).order_by(*ordered)
    else:
        page = _merged(read, places, order, conditions, ranges)
    page = page.limit(bindparam(LIMIT))
    return PageStatement(page.offset(bindparam(SKIP)) if skip else page, places)


def page_parameters(limit: int, skip: int, place: Sequence[Any] | None) -> dict[str, Any]:
    """Return the parameters of a page's statement.

    Args:
        limit: The most rows.
        skip: How many rows are left out before them.
        place: The place that the page begins after.
    """
    after = {_name(index): value for index, value in enumerate(place or ()) if value is not None}
    return {LIMIT: limit, SKIP: skip, REACH: limit + skip, **after}


def _merged(
    read: Sequence[ColumnElement[Any]],
    places: Sequence[int],
    order: Order,
    conditions: Sequence[ColumnElement[bool]],
    ranges: Sequence[Sequence[ColumnElement[bool]]],
) -> Select[Any]:
    # Two tables may have columns of one name.
    labelled = [column.label(f"c{index}") for index, column in enumerate(read)]
    ordered = [term.ordered(term.value) for term in order.terms]
    parts = [
        select(*labelled)
        .select_from(order.rows)
        .where(*conditions, *each)
        .order_by(*ordered)
        .limit(bindparam(REACH))
        .subquery()
        for each in ranges
    ]
    merged = union_all(*(select(part) for part in parts)).subquery()
    found = [merged.c[column.name] for column in labelled]
    again = [term.ordered(found[index]) for term, index in zip(order.terms, places, strict=True)]
    return select(*found).order_by(*again)


def _ranges(terms: Sequence[Term], after: Sequence[bool]) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """Yield the conditions of each range after a place, in the order of the ranges."""
    groups = [list(group) for _, group in groupby(enumerate(terms), key=lambda each: _group(*each))]
    for index in reversed(range(len(groups))):
        equal = [_equal(place, term, after[place]) for group in groups[:index] for place, term in group]
        for beyond in _beyond(groups[index], after):
            yield (*equal, beyond)


def _group(index: int, term: Term) -> tuple[bool, int]:
    """Return what columns have in common that a comparison of rows can take together."""
    return term.descending, index if term.nullable else -1


def _equal(index: int, term: Term, has_value: bool) -> ColumnElement[bool]:
    compared = term.compared(term.value)
    return compared == _value(index, term) if has_value else compared.is_(None)


def _beyond(group: Sequence[tuple[int, Term]], after: Sequence[bool]) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of the rows after a place by some columns, in the order of the rows."""
    index, term = group[0]
    compared = [each.compared(each.value) for _, each in group]
    if not after[index]:
        if term.descending:
            yield compared[0].is_not(None)
        return
    left, right = compared[0], _value(index, term)
    if len(group) > 1:
        left, right = tuple_(*compared), tuple_(*(_value(*each) for each in group))
    yield left < right if term.descending else left > right
    if term.nullable and not term.descending:
        yield compared[0].is_(None)


def _value(index: int, term: Term) -> ColumnElement[Any]:
    return bindparam(_name(index), type_=term.value.type)


def _name(index: int) -> str:
    return f"after_{index}"


def _index(columns: Sequence[ColumnElement[Any]], value: ColumnElement[Any]) -> int | None:
    return next((index for index, column in enumerate(columns) if column is value), None)
