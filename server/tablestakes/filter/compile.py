"""From what a filter asks of a resource to a condition of SQLAlchemy, whose values are bound parameters only.

A term is true or it is not: where SQL would say NULL, it is not. NOT is true of whatever its term is not true of
(AIP-160), so it is not SQL's NOT, which leaves out NULL: it is pushed down to the terms, and there it lets NULL in.
"""

import operator as op
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Exists,
    FromClause,
    String,
    and_,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.path import Document, Path, Row, own_row, reached
from tablestakes.crud.shape import map_entry
from tablestakes.filter.checked import (
    All,
    Compare,
    Condition,
    HasKey,
    Match,
    Named,
    Negation,
    Operand,
    Present,
    Restriction,
    Some,
)
from tablestakes.filter.construct import (
    Bytewise,
    Entries,
    Inside,
    JsonNumber,
    MapEntries,
    Matches,
    Pattern,
    ValueInside,
    names_inside,
)
from tablestakes.filter.lexicon import quoted
from tablestakes.filter.tree import Literal

Build = Callable[[Row], ColumnElement[bool]]
Given = str | int | float | bool

PREFIX = "filter"


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A value of a filter and the bound parameters that it becomes.

    Attributes:
        names: The names of the parameters: one, or one for each id of a resource's name.
        operand: The value.
    """

    names: tuple[str, ...]
    operand: Operand

    def put(self, raw: str, position: int, into: dict[str, Any]) -> None:
        """Put the values of the parameters into a dictionary.

        Args:
            raw: The value as it is written.
            position: Its place in the filter, counted from 0.
            into: The dictionary.

        Raises:
            FilterError: The value is not one of its field's.
        """
        value = self.operand.read(raw, position)
        if len(self.names) == 1:
            into[self.names[0]] = value
        else:
            into.update(zip(self.names, value, strict=True))


@dataclass(frozen=True, eq=False)
class Compiled:
    """A filter in SQL: a condition for the rows of the resource's table, wherever a statement takes one.

    It is the same object for each text of its shape, so it can be a key of a cache.

    Attributes:
        clause: The condition. It is never NULL.
        bounds: Its bound parameters.
        paths: The fields that it asks for.
    """

    clause: ColumnElement[bool]
    bounds: tuple[Bound, ...]
    paths: tuple[Path, ...] = ()

    def bind(self, given: Mapping[str, Given] | None = None) -> dict[str, Any]:
        """Return the bound parameters, with the values that the filter was written with.

        Args:
            given: The values of the filter's own parameters, without the `$`: texts as the API has them
                (`users/7`), numbers and booleans.

        Raises:
            FilterError: A value is not one of its field's.
            KeyError: A parameter is not given.
        """
        values: dict[str, Any] = {}
        for bound in self.bounds:
            value = bound.operand.value
            raw = value.raw if isinstance(value, Literal) else written((given or {})[value.name])
            bound.put(raw, value.position, values)
        return values


def written(value: Given) -> str:
    """Return a value of Python as a filter has it."""
    if isinstance(value, str):
        return quoted(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def compile_condition(condition: Condition, *, prefix: str = PREFIX, row: Row = own_row) -> Compiled:
    """Return a filter in SQL.

    Args:
        condition: The filter, checked.
        prefix: The names of the bound parameters begin with it: another for each filter of one statement.
        row: The row that it is about, where the statement does not select from the resource's own table.
    """
    compiling = _Compiling(prefix)
    clause = compiling.clause(condition, row, negated=False)
    return Compiled(clause, tuple(compiling.bounds), tuple(compiling.paths))


class _Compiling:
    """One filter on its way to SQL.

    Args:
        prefix: The names of the bound parameters begin with it.

    Attributes:
        bounds: The bound parameters so far.
        paths: The fields so far.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.bounds: list[Bound] = []
        self.paths: list[Path] = []

    def clause(self, condition: Condition, row: Row, *, negated: bool) -> ColumnElement[bool]:
        """Return the condition that something is true of a row, or that it is not."""
        match condition:
            case Negation(term):
                return self.clause(term, row, negated=not negated)
            case All(terms) | Some(terms):
                every = isinstance(condition, All) is not negated
                clauses = [self.clause(term, row, negated=negated) for term in terms]
                return and_(true(), *clauses) if every else or_(false(), *clauses)
            case Restriction(path):
                self.paths.append(path)
                if path.hops:
                    met = reached(path.hops, row, lambda below: self._restriction(condition, below, negated=False))
                    return not_(met) if negated else met
                return self._restriction(condition, row, negated=negated)

    def _restriction(self, term: Restriction, row: Row, *, negated: bool) -> ColumnElement[bool]:
        """Return the condition of a term for the row that has its field."""
        path, test = term.path, term.test
        match test:
            case Named(operand, differs):
                assert path.names is not None  # noqa: S101 - it is checked
                columns = path.names.columns
                named = and_(
                    *(
                        row(column) == bindparam(name, type_=column.type)
                        for column, name in zip(columns, self._bind(operand, len(columns)), strict=True)
                    )
                )
                return not_(named) if negated is not differs else named
            case Present() if path.document is None:
                return _present(path, test, row, negated=negated)
        if path.document is not None:
            return self._in_document(term, path.document, row, negated=negated)
        assert path.column is not None  # noqa: S101 - it is checked
        column = row(path.column)
        if term.absent is not None:
            column = func.coalesce(column, literal(term.absent, path.column.type))
        nullable = path.column.nullable and term.absent is None
        return self._tested(term, column, nullable=bool(nullable), negated=negated)

    def _tested(
        self, term: Restriction, value: ColumnElement[Any], *, nullable: bool, negated: bool
    ) -> ColumnElement[bool]:
        """Return the condition that a value passes a test, or that it does not: NULL passes none."""
        passed = self._test(term, value)
        if not negated:
            return passed
        return or_(not_(passed), value.is_(None)) if nullable else not_(passed)

    def _test(self, term: Restriction, value: ColumnElement[Any]) -> ColumnElement[bool]:
        match term.test:
            case Compare(operator, operand, kind, bytewise):
                (name,) = self._bind(operand)
                compared: ColumnElement[Any] = Bytewise(value) if bytewise else value
                return COMPARE[operator](compared, bindparam(name, type_=kind))
            case Match(operand, kind, front, end, differs):
                (name,) = self._bind(operand)
                matches = Matches(value, bindparam(name, type_=Pattern(kind, front=front, end=end)))
                return not_(matches) if differs else matches
        raise TypeError(f"{term.test} is no test of a value")

    def _in_document(self, term: Restriction, place: Document, row: Row, *, negated: bool) -> ColumnElement[bool]:
        """Return the condition of a term for the row whose JSON column has its field."""
        column = row(place.field.column)
        within: ColumnElement[Any] = Inside(column, *names_inside(place.names)) if place.names else column
        if place.key is not None:
            entries = MapEntries(within).table_valued("key", "value")
            found = _some(entries, entries.c.key == literal(place.key, String()))
            if not isinstance(term.test, Present):
                found = found.where(self._test(term, _typed(entries.c.value, term)))
        elif map_entry(term.path.field) is not None:
            entries = MapEntries(within).table_valued("key", "value")
            found = _some(entries)
            if isinstance(term.test, HasKey):
                (name,) = self._bind(term.test.operand)
                found = found.where(entries.c.key == bindparam(name, type_=String()))
        elif term.path.field.is_repeated:
            items = Entries(within).table_valued("value")
            found = _some(items)
            if not isinstance(term.test, Present):
                found = found.where(self._test(term, _typed(items.c.value, term)))
        else:
            return self._in_message(term, place, column, within, negated=negated)
        return not_(found) if negated else found

    def _in_message(
        self,
        term: Restriction,
        place: Document,
        column: ColumnElement[Any],
        within: ColumnElement[Any],
        *,
        negated: bool,
    ) -> ColumnElement[bool]:
        """Return the condition of a term about a field of a message in a JSON column, or about the message."""
        if isinstance(term.test, Present):
            return within.is_(None) if negated else within.is_not(None)
        field = term.path.field
        value = _typed(ValueInside(column, *names_inside(place.names)), term)
        if field.has_presence:
            return self._tested(term, value, nullable=True, negated=negated)
        # The JSON of a message leaves out a field that has no presence and is zero; the message must be there.
        zero = field.enum_type.values_by_number[0].name if field.enum_type else field.default_value
        around = Inside(column, *names_inside(place.names[:-1])) if place.names[:-1] else column
        passed = and_(around.is_not(None), self._test(term, func.coalesce(value, literal(zero, value.type))))
        return or_(around.is_(None), not_(passed.clauses[1])) if negated else passed

    def _bind(self, operand: Operand, count: int = 1) -> tuple[str, ...]:
        """Return the names of the bound parameters of a value."""
        name = f"{self._prefix}_{len(self.bounds)}"
        names = (name,) if count == 1 else tuple(f"{name}_{index}" for index in range(count))
        self.bounds.append(Bound(names, operand))
        return names


def _some(rows: FromClause, *conditions: ColumnElement[bool]) -> Exists:
    return exists(select(1).select_from(rows).where(*conditions))


COMPARE: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": op.eq,
    "!=": op.ne,
    "<": op.lt,
    "<=": op.le,
    ">": op.gt,
    ">=": op.ge,
}


def _present(path: Path, test: Present, row: Row, *, negated: bool) -> ColumnElement[bool]:
    """Return the condition that a row has a value of a field, or that it has none."""
    match path.part:
        case NestedField(columns=columns):
            absent = and_(*(row(column).is_(None) for column in columns))
            return absent if negated else not_(absent)
        case Field(column=kept):
            column = row(kept)
            if test.zero is None:
                return column.is_(None) if negated else column.is_not(None)
            zero = literal(test.zero, kept.type)
            if not negated:
                return column != zero
            return or_(column == zero, column.is_(None)) if kept.nullable else column == zero
    # Names, items: a row that was reached is one. The resource itself has a name.
    return false() if negated else true()


def _typed(value: ColumnElement[Any], term: Restriction) -> ColumnElement[Any]:
    """Return a value of a JSON column as one of its own type: PostgreSQL has its text."""
    match getattr(term.test, "type", None):
        case Boolean() | BigInteger() as kind:
            return cast(value, kind)
        case Double():
            return JsonNumber(value)
    return type_coerce(value, String())
