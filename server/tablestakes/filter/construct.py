"""Pieces of SQL that mean the same on SQLite and PostgreSQL, where the databases' own do not."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Double, String, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeDecorator, TypeEngine

_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_GLOB = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


class Pattern(TypeDecorator[str]):
    """The type of a parameter that is a text to look for: bound as a pattern of the database.

    Args:
        kept: The type of the column that is looked into, which may keep its texts in another form.
        front: Whether anything may come before the text.
        end: Whether anything may come after it.
    """

    impl = String
    cache_ok = True

    def __init__(self, kept: TypeEngine[Any], *, front: bool, end: bool) -> None:
        super().__init__()
        self.kept = kept
        self.front = front
        self.end = end

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the pattern, in which nothing but the wildcards of the filter is one."""
        if value is None:
            return None
        if isinstance(self.kept, TypeDecorator):
            value = str(self.kept.process_bind_param(value, dialect))
        many, special = ("*", _GLOB) if dialect.name == "sqlite" else ("%", _LIKE)
        return many * self.front + value.translate(special) + many * self.end


class _Look(FunctionElement[bool]):
    """A comparison of a text with a pattern, in the place of a function.

    SQLAlchemy would ask SQLite, which has no booleans, whether a function's result is 1: no index serves that.
    """

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002 - as SQLAlchemy calls it
        """Return the comparison as it stands between AND and OR: without parentheses, and without `= 1`."""
        return self


class Matches(_Look):
    """Whether a text matches a pattern, by its characters: SQLite's LIKE would not tell `A` from `a`."""

    inherit_cache = True
    name = "matches"

    def __invert__(self) -> ColumnElement[bool]:
        """Return what NOT makes of it."""
        return Differs(*self.clauses)


class Differs(_Look):
    """Whether a text does not match a pattern."""

    inherit_cache = True
    name = "differs"

    def __invert__(self) -> ColumnElement[bool]:
        """Return what NOT makes of it."""
        return Matches(*self.clauses)


@compiles(Matches, "sqlite")
def _glob(element: Matches, compiler: SQLCompiler, **options: Any) -> str:
    return _compared(element, "GLOB", compiler, **options)


@compiles(Differs, "sqlite")
def _not_glob(element: Differs, compiler: SQLCompiler, **options: Any) -> str:
    return _compared(element, "NOT GLOB", compiler, **options)


@compiles(Matches)
def _like(element: Matches, compiler: SQLCompiler, **options: Any) -> str:
    # Its own escape is the backslash, whatever the session says of strings.
    return _compared(element, "LIKE", compiler, **options)


@compiles(Differs)
def _not_like(element: Differs, compiler: SQLCompiler, **options: Any) -> str:
    return _compared(element, "NOT LIKE", compiler, **options)


def _compared(element: _Look, operator: str, compiler: SQLCompiler, **options: Any) -> str:
    return f" {operator} ".join(compiler.process(clause, **options) for clause in element.clauses)


class Bytewise(FunctionElement[str]):
    """A text that is ordered by its bytes in UTF-8, and not by the rules of the database's language."""

    type = String()
    inherit_cache = True
    name = "bytewise"


@compiles(Bytewise, "sqlite")
def _binary(element: Bytewise, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    return compiler.process(clause, **options)


@compiles(Bytewise)
def _collate(element: Bytewise, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    return f'{compiler.process(clause, **options)} COLLATE "C"'


class Entries(FunctionElement[Any]):
    """The items of a JSON list as rows of `value`, in the database's own types; none of what is no list."""

    inherit_cache = True
    name = "entries"


class MapEntries(FunctionElement[Any]):
    """The entries of a JSON object as rows of `key` and `value`; none of what is no object."""

    inherit_cache = True
    name = "map_entries"


@compiles(Entries, "sqlite")
@compiles(MapEntries, "sqlite")
def _json_each(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    return f"json_each({compiler.process(clause, **options)})"


@compiles(Entries)
def _items(element: Entries, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    text = _jsonb(clause, compiler, **options)
    # Anything but a list is an error to PostgreSQL, also the JSON null.
    return f"jsonb_array_elements_text(CASE jsonb_typeof({text}) WHEN 'array' THEN {text} END)"


@compiles(MapEntries)
def _pairs(element: MapEntries, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    text = _jsonb(clause, compiler, **options)
    return f"jsonb_each_text(CASE jsonb_typeof({text}) WHEN 'object' THEN {text} END)"


class Inside(FunctionElement[Any]):
    """A list or an object in a JSON column, below fields of messages: the column, then each field's name."""

    inherit_cache = True
    name = "inside"


class ValueInside(FunctionElement[Any]):
    """As Inside, of a scalar: on PostgreSQL its text."""

    inherit_cache = True
    name = "value_inside"


def names_inside(names: Iterable[str]) -> list[ColumnElement[str]]:
    """Return the names of fields, which are identifiers of a proto, as arguments of Inside and ValueInside."""
    return [literal_column(f"'{name}'") for name in names]


@compiles(Inside, "sqlite")
@compiles(ValueInside, "sqlite")
def _json_extract(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    column, *names = element.clauses
    path = ".".join(compiler.process(name, **options).strip("'") for name in names)
    return f"json_extract({compiler.process(column, **options)}, '$.{path}')"


@compiles(Inside)
@compiles(ValueInside)
def _extract_path(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    column, *names = element.clauses
    function = "jsonb_extract_path" if isinstance(element, Inside) else "jsonb_extract_path_text"
    given = [_jsonb(column, compiler, **options), *(compiler.process(name, **options) for name in names)]
    return f"{function}({', '.join(given)})"


def _jsonb(clause: Any, compiler: SQLCompiler, **options: Any) -> str:
    text = compiler.process(clause, **options)
    is_jsonb = isinstance(clause, Inside) or isinstance(clause.type.dialect_impl(compiler.dialect), JSONB)
    return text if is_jsonb else f"CAST({text} AS JSONB)"


class JsonNumber(FunctionElement[float]):
    """A number of a JSON column as one of 64 bits. JSON has no infinities, which are text in it."""

    type = Double()
    inherit_cache = True
    name = "json_number"


@compiles(JsonNumber, "sqlite")
def _number(element: JsonNumber, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    text = compiler.process(clause, **options)
    return f"CASE {text} WHEN 'Infinity' THEN 9e999 WHEN '-Infinity' THEN -9e999 ELSE CAST({text} AS REAL) END"


@compiles(JsonNumber)
def _double_precision(element: JsonNumber, compiler: SQLCompiler, **options: Any) -> str:
    (clause,) = element.clauses
    return f"CAST({compiler.process(clause, **options)} AS DOUBLE PRECISION)"
