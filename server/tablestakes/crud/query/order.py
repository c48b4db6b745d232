"""The order of a List (AIP-132 `order_by`): which fields, each way, down to a key that no two rows share.

A field without a value comes last in ascending and first in descending order, which is PostgreSQL's own way, so
that its indexes serve it; SQLite is told to do the same. Text is ordered by its bytes in UTF-8.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Enum, FromClause, String, cast

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.query.told import require_seen, require_told
from tablestakes.crud.schema.codec import plain
from tablestakes.crud.schema.codec.single import MESSAGES, WRAPPERS
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.name import is_bytewise
from tablestakes.crud.schema.path import Hop, Path, PathError, resolve
from tablestakes.crud.schema.schema import Schema
from tablestakes.errors import StatusError, invalid_field
from tablestakes.filter.construct import Bytewise

MOST_TERMS = 10
MOST_CHARACTERS = 1000

# Orders of one resource that are kept compiled: those that were used last.
KEPT_ORDERS = 256

FIELD = "order_by"
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_DIRECTIONS = {(): False, ("asc",): False, ("desc",): True}


@dataclass(frozen=True, eq=False)
class Term:
    """A column of an order.

    Attributes:
        value: What is selected of it, to be the place where a page ends.
        descending: Whether its greatest value comes first.
        nullable: Whether a row may have no value of it.
        column: The column of the resource's own table; None where it is of another, which a reference leads to.
    """

    value: ColumnElement[Any]
    descending: bool
    nullable: bool
    column: Column[Any] | None

    def compared(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a column as it is compared and ordered: text by its bytes."""
        is_text = isinstance(self.value.type, String) or python_type_of(self.value) is str
        bytewise = isinstance(self.value, Column) and is_bytewise(self.value)
        return Bytewise(value) if is_text and not bytewise else value

    def ordered(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a column as ORDER BY has it."""
        compared = self.compared(value)
        if not self.nullable:
            return compared.desc() if self.descending else compared.asc()
        return compared.desc().nulls_first() if self.descending else compared.asc().nulls_last()


@dataclass(frozen=True, eq=False)
class Order:
    """An order in which each row has one place.

    Attributes:
        text: The order as it was asked for; "" for that of the keys.
        terms: Its columns.
        rows: The table, joined with those that references lead to; each row of it stays one row.
        paths: The fields that were asked for.
    """

    text: str
    terms: tuple[Term, ...]
    rows: FromClause
    paths: tuple[Path, ...] = ()


class Orders:
    """The orders of a resource.

    Args:
        schema: The resource.

    Raises:
        DeclarationError: Its default order is none.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._read = lru_cache(KEPT_ORDERS)(self._compile)
        try:
            self.default = self._compile(schema.default_order)
        except StatusError as error:
            name = schema.descriptor.full_name
            raise DeclarationError(f"{name}: default_order {error.violations[0].description}") from None

    def read(self, text: str) -> Order:
        """Return an order; the resource's default for an empty text.

        Args:
            text: Paths of fields, with commas between them, each with ` desc` after it for the greatest first.

        Raises:
            StatusError: INVALID_ARGUMENT on `order_by`; PERMISSION_DENIED, it has a field that the caller is not
                told.
        """
        if not text or text.isspace():
            return self.default
        if len(text) > MOST_CHARACTERS:
            raise _refused(f"must have at most {MOST_CHARACTERS} characters.")
        order = self._read(text)
        require_told(FIELD, order.paths)
        require_seen(FIELD, order.paths)
        return order

    def _compile(self, text: str) -> Order:
        compiler = _Compiler(self._schema)
        for path, descending in _parse(text):
            compiler.add(path, descending=descending)
        return Order(text, tuple(compiler.total()), compiler.rows, tuple(compiler.paths))


def python_type_of(value: ColumnElement[Any]) -> type:
    """Return the type of an expression's values in Python."""
    return plain(value.type).python_type


def _parse(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the path of each field of an order, and whether its greatest value comes first."""
    if not text:
        return
    seen: set[str] = set()
    items = text.split(",")
    if len(items) > MOST_TERMS:
        raise _refused(f"must have at most {MOST_TERMS} fields.")
    for item in items:
        path, *direction = item.split() or [""]
        if not _PATH.fullmatch(path) or tuple(direction) not in _DIRECTIONS:
            raise _refused(
                f"must be fields with commas between them, each with asc or desc after it or neither;"
                f" {item.strip()!r} is none."
            )
        if path in seen:
            raise _refused(f"has {path} twice.")
        seen.add(path)
        yield path, _DIRECTIONS[tuple(direction)]


class _Compiler:
    """Collects the columns of an order, and the tables that they are in."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._terms: list[Term] = []
        self._joined: dict[tuple[Hop, ...], FromClause] = {}
        self.rows: FromClause = schema.table
        self.paths: list[Path] = []

    def add(self, path: str, *, descending: bool) -> None:
        found = self._resolve(path)
        self.paths.append(found)
        row, nullable = self._join(found.hops)
        for column in self._columns(found, path):
            value: ColumnElement[Any] = row.c[column.key] if row is not None else column
            if isinstance(plain(column.type), Enum):
                # PostgreSQL would order its own enums as they are declared, and SQLite by their names.
                value = cast(value, String)
            own = column if row is None else None
            self._terms.append(Term(value, descending, nullable or bool(column.nullable), own))

    def total(self) -> Sequence[Term]:
        """Return the columns up to the first after which no two rows are alike, or else with the key after them.

        The key goes the way of the last column, for an index can be read either way.
        """
        key = self._schema.names.id_column
        unique = [{key.name}, *map(set, self._schema.unique)]
        known: set[str] = set()
        for index, term in enumerate(self._terms):
            if term.column is not None and not term.nullable:
                known.add(term.column.name)
            if any(columns <= known for columns in unique):
                return self._terms[: index + 1]
        descending = bool(self._terms) and self._terms[-1].descending
        return [*self._terms, Term(key, descending, nullable=False, column=key)]

    def _resolve(self, path: str) -> Path:
        steps = tuple(path.split("."))
        try:
            return resolve(self._schema, steps)
        except PathError as error:
            step = steps[error.index]
            if error.choices:
                problem = f"names {path}, and {error.owner} has no field {step}; {likely(step, error.choices)}"
            else:
                problem = f"names {path}, and {'.'.join(steps[: error.index])} has no fields to order by."
            raise _refused(problem) from None

    def _join(self, hops: tuple[Hop, ...]) -> tuple[FromClause | None, bool]:
        """Return the table at the end of some hops, None for the resource's own, and whether it may have no row."""
        row: FromClause | None = None
        nullable = False
        for index, hop in enumerate(hops, start=1):
            nullable = nullable or bool(hop.source.nullable)
            source = hop.source if row is None else row.c[hop.source.key]
            reached = self._joined.get(hops[:index])
            if reached is None:
                reached = self._joined[hops[:index]] = hop.target.table.alias()
                # The foreign key says that there is a row: an inner join loses none, and may begin at either side.
                on: ColumnElement[bool] = source == reached.c[hop.target.key]
                self.rows = self.rows.join(reached, on, isouter=nullable)
            row = reached
        return row, nullable

    @staticmethod
    def _columns(found: Path, path: str) -> tuple[Column[Any], ...]:
        message = found.field.message_type
        if found.many:
            raise _refused(f"names {path}, which has several values.")
        if found.names is not None:
            return found.names.columns
        if found.document is not None:
            raise _refused(f"names {path}, which has no order.")
        if not isinstance(found.part, Field):
            raise _refused(f"names {path}, which is a message: name fields of it.")
        if message is not None and message.full_name not in MESSAGES and message.full_name not in WRAPPERS:
            raise _refused(f"names {path}, which has no order.")
        return found.part.columns


def _refused(problem: str) -> StatusError:
    return invalid_field(FIELD, problem, "INVALID_ORDER_BY")
