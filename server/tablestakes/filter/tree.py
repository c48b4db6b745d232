"""A filter as its grammar has it: nothing is known yet of fields and their types."""

from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias

Operator = OneOf["=", "!=", "<", "<=", ">", ">=", ":"]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value, as it is written: `"PUBLISHED"`, `-2.5`, `users/7`, `*`.

    Attributes:
        raw: Its text, with its quotes where it has any.
        position: Its place in the filter, counted from 0.
    """

    raw: str
    position: int

    @property
    def quoted(self) -> bool:
        """Whether it is in quotes."""
        return self.raw[0] in "\"'"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that whoever applies the filter gives: `$caller`.

    Attributes:
        name: Its name, without the `$`.
        position: Its place in the filter.
    """

    name: str
    position: int


Value: TypeAlias = Literal | Parameter


@dataclass(frozen=True, slots=True)
class Member:
    """The path of a field: `author.username`, `labels."a key"`.

    Attributes:
        steps: Its steps.
        places: The place of each step in the filter.
    """

    steps: tuple[str, ...]
    places: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(self.steps)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field and the value that it is compared with.

    Attributes:
        member: The field.
        operator: The operator.
        value: The value, or several of them with AND, OR and NOT between: `state = (DRAFT OR ARCHIVED)`.
    """

    member: Member
    operator: Operator
    value: "Value | Values"


@dataclass(frozen=True, slots=True)
class Word:
    """A value by itself, which any text of the resource may have in it; or a field that is true or false.

    Attributes:
        value: The value.
    """

    value: Literal


@dataclass(frozen=True, slots=True)
class And:
    """Each of several terms."""

    terms: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of several terms."""

    terms: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Whatever a term is not true of."""

    term: "Expression"


@dataclass(frozen=True, slots=True)
class Values:
    """The values in parentheses on the right of an operator.

    Attributes:
        expression: An expression whose only terms are words.
    """

    expression: "Expression"


Expression: TypeAlias = Comparison | Word | And | Or | Not
