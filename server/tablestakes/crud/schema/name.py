"""Resource names: `users/7`, by the pattern of the resource (AIP-122)."""

import re
from dataclasses import dataclass
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor
from sqlalchemy import Column, Table

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import option
from tablestakes.crud.schema.codec import python_type
from tablestakes.errors import invalid_field, not_found

MAX_SERIAL = (1 << 63) - 1
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CANONICAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Names:
    """The names of a resource.

    Attributes:
        pattern: As the proto spells it: `users/{user}`.
        columns: The column behind each variable of the pattern, in its order.
    """

    pattern: str
    columns: tuple[Column[Any], ...]

    def __post_init__(self) -> None:
        literal = map(re.escape, _VARIABLE.split(self.pattern)[::2])
        object.__setattr__(self, "_expression", re.compile(r"([^/\s]+)".join(literal)))
        object.__setattr__(self, "_template", _VARIABLE.sub("%s", self.pattern.replace("%", "%%")))

    @property
    def singleton(self) -> bool:
        """Whether there is exactly one for each parent: `users/{user}/profile` (AIP-156)."""
        return not self.pattern.endswith("}")

    @property
    def parent(self) -> "Names | None":
        """The names of the resource that these are below of, None for a resource at the top."""
        pattern = self.pattern.rpartition("/")[0]
        if not self.singleton:
            pattern = pattern.rpartition("/")[0]
        return Names(pattern, self.columns[: len(_VARIABLE.findall(pattern))]) if pattern else None

    def parse(self, name: str, path: str, *, wildcard: bool = False) -> dict[str, Any]:
        """Return what a name says of its row, as parameters `key_<column>` of a statement.

        Args:
            name: The name, from a request.
            path: Where in the request it stands.
            wildcard: Whether `-` stands for any id (AIP-159); there is no parameter for it then.

        Raises:
            StatusError: INVALID_ARGUMENT, the name is not of the pattern; or NOT_FOUND, it is, but the server
                never gives out such an id, and ids are not the caller's to interpret.
        """
        found = self._expression.fullmatch(name)  # type: ignore[attr-defined]
        if found is None:
            raise invalid_field(path, f"must be of the form {self.pattern}.", "INVALID_RESOURCE_NAME")
        parameters: dict[str, Any] = {}
        for column, text in zip(self.columns, found.groups(), strict=True):
            if wildcard and text == "-":
                continue
            key = _key(column, text)
            if key is None:
                raise not_found(name)
            parameters[f"key_{column.name}"] = key
        return parameters

    def matches(self, name: str) -> bool:
        """Return whether a name is of the pattern."""
        return self._expression.fullmatch(name) is not None and "\x00" not in name  # type: ignore[attr-defined]

    def format(self, keys: tuple[Any, ...]) -> str:
        """Return the name of the row with these keys."""
        return self._template % keys  # type: ignore[attr-defined,no-any-return]


def _key(column: Column[Any], text: str) -> Any | None:
    """Return an id as its column keeps it, or None where no row can have it."""
    if python_type(column) is not int:
        return text if "\x00" not in text else None
    # Canonical: 007 would be a second name of 7.
    return int(text) if _CANONICAL.fullmatch(text) and int(text) <= MAX_SERIAL else None


def names_of(message: Descriptor, table: Table) -> Names:
    """Return the names of a resource from its `google.api.resource` and its table.

    The last variable is the primary key; one before it is a parent's, kept in the column `<variable>_id`.

    Raises:
        DeclarationError: The message declares no pattern, or a variable has no column.
    """
    declared = option(message, resource_pb2.resource)
    if not declared.pattern:
        raise DeclarationError(f"{message.full_name} has no google.api.resource option with a pattern")
    pattern = declared.pattern[0]
    variables = _VARIABLE.findall(pattern)
    if len(variables) != len(set(variables)):
        raise DeclarationError(f"{message.full_name}: {pattern} has a variable twice")
    if not variables or set("{}") & set(_VARIABLE.sub("", pattern)):
        raise DeclarationError(f"{message.full_name}: {pattern} is not a pattern of literals and {{variables}}")
    columns = []
    for variable in variables:
        column = f"{variable}_id"
        if column not in table.c and variable == variables[-1]:
            column = _only_key(message, table)
        if column not in table.c:
            raise DeclarationError(
                f"{message.full_name}: {{{variable}}} of the pattern {pattern} needs a column {column} in the"
                f" table {table.name}; {likely(column, table.c.keys())}"
            )
        if python_type(table.c[column]) not in (int, str):
            raise DeclarationError(f"{message.full_name}: {table.name}.{column} is no integer and no text")
        columns.append(table.c[column])
    return Names(pattern, tuple(columns))


def _only_key(message: Descriptor, table: Table) -> str:
    key = table.primary_key.columns.keys()
    if len(key) != 1:
        raise DeclarationError(f"{message.full_name}: the table {table.name} needs a primary key of one column")
    return key[0]


def plural_of(message: Descriptor) -> str:
    """Return a resource's plural as method names spell it: `Users`, from `google.api.resource`.

    Raises:
        DeclarationError: The option says no plural.
    """
    plural = option(message, resource_pb2.resource).plural
    if not plural:
        raise DeclarationError(f"{message.full_name}: its google.api.resource option needs a plural")
    return str(plural[0].upper() + plural[1:])


def type_of(message: Descriptor) -> str:
    """Return a resource's type, by which references name it: `marketplace.example.com/User`."""
    return str(option(message, resource_pb2.resource).type)
