"""Resource names as the proto's pattern and the table's columns describe them, read without the engine."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor
from sqlalchemy import Column, ColumnElement, Table, and_

from tablestakes.crud.schema.behavior import option

VARIABLE = re.compile(r"\{(\w+)\}")

NOTHING: dict[type, str] = {
    int: "999999999",
    UUID: "00000000-0000-4000-8000-00000000dead",
    str: "nothing-999999999",
}
"""An id that no test gives to anything, by the type of the key."""


@dataclass(frozen=True)
class NamePattern:
    """The pattern of a resource's names.

    Attributes:
        text: The pattern: `shelves/{shelf}/books/{book}`.
        columns: The column of each of its variables.
    """

    text: str
    columns: tuple[Column[Any], ...]

    @property
    def singleton(self) -> bool:
        """Whether a parent has exactly one such resource."""
        return not self.text.endswith("}")

    @property
    def parent(self) -> str:
        """The parent's pattern, "" at the top."""
        steps = self.text.split("/")
        return "/".join(steps[: -1 if self.singleton else -2])

    @cached_property
    def kinds(self) -> tuple[type, ...]:
        """The type of each id: `int`, `str` or `UUID`."""
        return tuple(map(_kind, self.columns))

    def format(self, ids: Sequence[object]) -> str:
        """Return the name with some ids."""
        left = iter(ids)
        return VARIABLE.sub(lambda _: str(next(left)), self.text)

    def key(self, name: str) -> tuple[Any, ...]:
        """Return the ids in a name, each as its column has it."""
        found = re.fullmatch(VARIABLE.sub("([^/]+)", self.text), name)
        assert found is not None, f"{name} is not of the form {self.text}"
        return tuple(kind(text) for kind, text in zip(self.kinds, found.groups(), strict=True))

    def order(self, name: str) -> Any:
        """Return what a list is ordered by: the last id in a name."""
        return self.key(name)[-1]

    def where(self, name: str) -> ColumnElement[bool]:
        """Return the condition for the row of a name."""
        return and_(*(column == value for column, value in zip(self.columns, self.key(name), strict=True)))

    @property
    def nothing(self) -> str:
        """The name of a resource that does not exist, below one that does not exist."""
        return self.format([NOTHING[kind] for kind in self.kinds])


def pattern_of(message: Descriptor, table: Table) -> NamePattern:
    """Return the pattern of a resource."""
    text: str = option(message, resource_pb2.resource).pattern[0]
    variables = VARIABLE.findall(text)
    columns = [
        table.c[f"{variable}_id"] if f"{variable}_id" in table.c else next(iter(table.primary_key.columns))
        for variable in variables
    ]
    return NamePattern(text, tuple(columns))


def _kind(column: Column[Any]) -> type:
    found = column.type.python_type
    return found if found in NOTHING else str
