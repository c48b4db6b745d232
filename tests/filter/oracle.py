"""Filters as the tests make them: written down with many spellings, and evaluated over messages in plain Python.

Nothing here is the engine's: a filter is a tree of the tests' own, and its meaning is that of docs/filtering.md.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.filter.world import DECIMALS, FLOATS, INTEGERS, MOMENTS, TEXTS, World

Get = Callable[[World, Any], list[Any]]
"""Returns the values of a field of a message: none where it is not set, and several of a repeated one."""

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Kind:
    """A type of values, as the tests know it.

    Attributes:
        operators: Its operators, without `:`.
        values: The values to compare with.
        write: Writes a value in one of its spellings, given by a number.
    """

    operators: str
    values: Sequence[Any]
    write: Callable[[Any, int], str]


def quote(text: str, style: int) -> str:
    """Return a text in quotes, or without them where it can do without."""
    if style % 3 == 2 and re.fullmatch(r"[A-Za-z0-9%_?\[\]äÄéß😀]+", text) and text not in ("NOT", "AND", "OR"):
        return text
    mark = "\"'"[style % 2]
    found = text.replace("\\", "\\\\").replace(mark, f"\\{mark}").replace("*", "\\*")
    return f"{mark}{found.replace(chr(10), chr(92) + 'n') if style % 5 == 0 else found}{mark}"


def _moment(value: datetime, style: int) -> str:
    zone = timezone(timedelta(hours=(style % 5) * 3 - 6, minutes=30 * (style % 2)))
    text = value.astimezone(zone if style % 3 else UTC).isoformat()
    if style % 4 == 0:
        text = text.replace("+00:00", "Z")
    return text if style % 7 == 0 else f'"{text}"'


def _duration(value: timedelta, style: int) -> str:
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    text = f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06}s"
    return text if style % 2 else f"'{text}'"


def _float(value: float, _: int) -> str:
    return ("-" * (value < 0) + "Infinity") if value in (float("inf"), float("-inf")) else repr(value)


TEXT = Kind("= != < <= > >=", TEXTS, quote)
INTEGER = Kind("= != < <= > >=", [*INTEGERS, 2, 3, 4, 11, 100, 500], lambda value, _: str(value))
FLOAT = Kind("= != < <= > >=", FLOATS, _float)
BOOLEAN = Kind("= !=", [True, False], lambda value, _: str(value).lower())
MOMENT = Kind("= != < <= > >=", MOMENTS, _moment)
DURATION = Kind(
    "= != < <= > >=", [timedelta(seconds=n, microseconds=(n + 3) * 100_000) for n in range(-3, 9)], _duration
)
DAY = Kind("= != < <= > >=", [date(2000 + n, 2, 28) for n in range(0, 20, 3)], lambda value, _: f'"{value}"')
DECIMAL = Kind("= != < <= > >=", [each for each in DECIMALS if each is not None], lambda value, _: str(value))


def choice(*names: str) -> Kind:
    """Return the type of an enum with some names."""
    return Kind("= !=", names, lambda value, style: value if style % 2 else f'"{value}"')


def names(*given: str) -> Kind:
    """Return the type of the names of resources."""
    return Kind("= !=", given, lambda value, style: value if style % 2 else f'"{value}"')


@dataclass(frozen=True)
class Field:
    """A field that filters name.

    Attributes:
        path: Its path.
        kind: Its type.
        get: Returns its values.
        looks_into: Whether `:` looks into its text, and does not ask for an equal one.
        listed: Whether it is repeated itself, and so has `:` alone.
        zero: The value that counts as none.
    """

    path: str
    kind: Kind
    get: Get
    looks_into: bool = False
    listed: bool = False
    zero: Any = None


@dataclass(frozen=True)
class Term:
    """A comparison."""

    field: Field
    operator: str
    value: Any
    style: int
    front: bool = False
    end: bool = False


@dataclass(frozen=True)
class Present:
    """The question whether a field has a value."""

    field: Field


@dataclass(frozen=True)
class Joined:
    """Several terms with AND, OR, or a space between them."""

    word: str
    terms: "tuple[Tree, ...]"


@dataclass(frozen=True)
class Not:
    """A negation."""

    term: "Tree"
    style: int


Tree = Term | Present | Joined | Not


def holds(tree: Tree, world: World, message: Any) -> bool:
    """Return whether a filter is true of a message."""
    match tree:
        case Joined("OR", terms):
            return any(holds(term, world, message) for term in terms)
        case Joined(_, terms):
            return all(holds(term, world, message) for term in terms)
        case Not(term):
            return not holds(term, world, message)
        case Present(field):
            return any(value != field.zero for value in field.get(world, message))
        case Term(field):
            return any(_passes(tree, value) for value in field.get(world, message))
    raise TypeError(tree)


def _passes(term: Term, value: Any) -> bool:
    if term.front or term.end:
        return _matches(value, term.value, front=term.front, end=term.end) is (term.operator != "!=")
    if term.operator == ":":
        return term.value in value if term.field.looks_into else bool(value == term.value)
    return COMPARE[term.operator](value, term.value)


def _matches(text: str, part: str, *, front: bool, end: bool) -> bool:
    if front and end:
        return part in text
    return text.endswith(part) if front else text.startswith(part)


def write(tree: Tree) -> str:
    """Return the text of a filter."""
    match tree:
        case Not(term, style):
            inner = _inside(term, isinstance(term, Joined | Not))
            return f"NOT {inner}" if style % 2 else f"-{inner}"
        case Joined("OR", terms):
            return " OR ".join(_inside(term, isinstance(term, Joined)) for term in terms)
        case Joined("AND", terms):
            # OR binds tighter than AND, and so needs no parentheses in one.
            return " AND ".join(_inside(term, isinstance(term, Joined) and term.word == "AND") for term in terms)
        case Joined(_, terms):
            return "  ".join(_inside(term, isinstance(term, Joined) and term.word != "OR") for term in terms)
        case Present(field):
            return f"{field.path}:*"
        case Term(field, op, value, style, front, end):
            space = " " * (style % 2)
            return f"{field.path}{space}{op}{space}{_value(field.kind, value, style, front=front, end=end)}"
    raise TypeError(tree)


def _inside(term: Tree, parentheses: bool) -> str:
    return f"({write(term)})" if parentheses else write(term)


def _value(kind: Kind, value: Any, style: int, *, front: bool, end: bool) -> str:
    text = kind.write(value, style)
    if not (front or end):
        return text
    if text[0] in "\"'":
        return text[0] + "*" * front + text[1:-1] + "*" * end + text[0]
    return "*" * front + text + "*" * end


@st.composite
def terms(draw: st.DrawFn, fields: Sequence[Field]) -> Tree:
    """Draw a comparison of one of some fields."""
    field = draw(st.sampled_from(fields))
    if draw(st.integers(0, 7)) == 0:
        return Present(field)
    ops = [":"] if field.listed else [*field.kind.operators.split(), ":"]
    op, style = draw(st.sampled_from(ops)), draw(st.integers(0, 41))
    front = end = False
    if field.kind is TEXT and op in ("=", "!=", ":"):
        # At most a few may have a wildcard at the front.
        front, end = draw(st.sampled_from([(False, False)] * 4 + [(False, True), (True, False), (True, True)]))
    return Term(field, op, draw(st.sampled_from(field.kind.values)), style, front, end)


def trees(fields: Sequence[Field]) -> st.SearchStrategy[Tree]:
    """Return filters of some fields."""
    return st.recursive(
        terms(fields),
        lambda inside: st.one_of(
            st.builds(Not, inside, st.integers(0, 1)),
            st.builds(
                Joined, st.sampled_from(["AND", "OR", " "]), st.lists(inside, min_size=2, max_size=3).map(tuple)
            ),
        ),
        max_leaves=6,
    )


def instant(stamp: Any) -> datetime:
    """Return a Timestamp as Python has it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def decimal(value: Any) -> Decimal:
    """Return a google.type.Decimal as Python has it."""
    return Decimal(value.value)
