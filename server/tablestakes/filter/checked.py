"""A filter that has been checked against a resource: each of its terms is about a field, and of its type."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.path import Path
from tablestakes.filter.kind import Read
from tablestakes.filter.tree import Operator, Value


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A value of a filter, as a bound parameter has it.

    Attributes:
        value: The value as it is written, or the name by which it is given.
        read: Reads it as the column keeps it.
    """

    value: Value
    read: Read


@dataclass(frozen=True, slots=True, eq=False)
class Compare:
    """Compares a value with an operand.

    Attributes:
        operator: The operator: any but `:`.
        operand: The operand.
        type: The type of the bound parameter.
        bytewise: Whether they are texts in an order.
    """

    operator: Operator
    operand: Operand
    type: TypeEngine[Any]
    bytewise: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Looks for a text in a text.

    Attributes:
        operand: The text to look for.
        type: The type of the column.
        front: Whether anything may come before it.
        end: Whether anything may come after it.
        differs: Whether it must not be there.
    """

    operand: Operand
    type: TypeEngine[Any]
    front: bool
    end: bool
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """Asks whether there is a value.

    Attributes:
        zero: What counts as none beside NULL, as the column keeps it; None for nothing.
    """

    zero: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Compares a resource's name with one, whose ids are the operand.

    Attributes:
        operand: The name.
        differs: Whether it must be another.
    """

    operand: Operand
    differs: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class HasKey:
    """Asks whether a map has a key."""

    operand: Operand


Test: TypeAlias = Compare | Match | Present | Named | HasKey


@dataclass(frozen=True, slots=True, eq=False)
class Restriction:
    """A term: a field, and what must be so of it.

    Attributes:
        path: The field.
        test: The test of its value; of a list, that one of its values passes it.
        absent: The column's value that NULL stands for; None where NULL says that there is no value.
    """

    path: Path
    test: Test
    absent: Any = None


@dataclass(frozen=True, slots=True)
class All:
    """True where each term is; without terms, of everything."""

    terms: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Some:
    """True where one of the terms is; without terms, of nothing."""

    terms: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Negation:
    """True where the term is not."""

    term: "Condition"


Condition: TypeAlias = Restriction | All | Some | Negation
