"""Resource names: `users/7`, by the pattern of the resource (AIP-122)."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor
from sqlalchemy import Column, ColumnElement, Table, and_, bindparam, select
from sqlalchemy.dialects import postgresql

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.schema.behavior import option
from tablestakes.crud.schema.codec import plain, python_type
from tablestakes.crud.schema.deletion import deletes_softly, live
from tablestakes.errors import invalid_field, not_found

MAX_SERIAL = (1 << 63) - 1
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CANONICAL_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Names:
    """The names of a resource, and the condition for the row of one.

    Attributes:
        pattern: The pattern as the proto spells it: `users/{user}`.
        columns: The column behind each variable of the pattern, in its order.
        live: The conditions under which the row of a name is not deleted softly, nor a singleton's parent; none
            where it cannot be.
    """

    pattern: str
    columns: tuple[Column[Any], ...]
    live: tuple[ColumnElement[bool], ...] = field(default=(), compare=False, repr=False)

    @property
    def id_column(self) -> Column[Any]:
        """The column of the last id: the primary key, except for a singleton, which has its parent's."""
        return self.columns[-1]

    @property
    def singleton(self) -> bool:
        """Whether there is exactly one for each parent: `users/{user}/profile` (AIP-156)."""
        return not self.pattern.endswith("}")

    @cached_property
    def parent(self) -> "Names | None":
        """The names of the resource that these are below; None for a resource at the top."""
        pattern = self.pattern.rpartition("/")[0]
        if not self.singleton:
            pattern = pattern.rpartition("/")[0]
        return Names(pattern, self.columns[: len(_VARIABLE.findall(pattern))]) if pattern else None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        literals = map(re.escape, _VARIABLE.split(self.pattern)[::2])
        return re.compile(r"([^/\s]+)".join(literals))

    @cached_property
    def _template(self) -> str:
        return _VARIABLE.sub("%s", self.pattern.replace("%", "%%"))

    def is_below(self, other: "Names") -> bool:
        """Return whether these names begin with a name of another resource, at any depth."""
        return self.pattern.startswith(f"{other.pattern}/")

    def where(self, *, deleted: bool = False) -> ColumnElement[bool]:
        """Return the condition for the row of a name; `bind` gives its parameters.

        Args:
            deleted: Whether the row may be one that is deleted softly, which is not there for any write but
                Undelete.
        """
        same = (self.equals(index) for index in range(len(self.columns)))
        return and_(*same, *(() if deleted else self.live))

    def below(self, depth: int) -> ColumnElement[bool]:
        """Return the condition for every row below a name of a resource above, deleted ones too.

        Args:
            depth: How many variables the pattern of the resource above has.
        """
        return and_(*(self.equals(index) for index in range(depth)))

    def equals(self, index: int) -> ColumnElement[bool]:
        """Return the condition that one variable's column has the id of a Key; `bind` gives its parameter."""
        return self.columns[index] == bindparam(f"key_{index}")

    @staticmethod
    def bind(key: Key) -> dict[str, Any]:
        """Return the parameters of the conditions for a Key; ANY_ID has none."""
        return {f"key_{index}": value for index, value in enumerate(key) if value is not ANY_ID}

    def parse(self, name: str, path: str, *, wildcard: bool = False) -> Key:
        """Return the ids in a name.

        Args:
            name: The name, from a request.
            path: The path of the field that holds it.
            wildcard: Whether `-` stands for any id (AIP-159).

        Raises:
            StatusError: INVALID_ARGUMENT, the name is not of the pattern; or NOT_FOUND, it is, but the service
                never gives out such an id (an id is opaque to callers).
        """
        found = self._expression.fullmatch(name)
        if found is None:
            raise invalid_field(path, f"must be of the form {self.pattern}.", "INVALID_RESOURCE_NAME")
        key = []
        for column, text in zip(self.columns, found.groups(), strict=True):
            value = ANY_ID if wildcard and text == "-" else read_id(column, text)
            if value is None:
                raise not_found(name)
            key.append(value)
        return tuple(key)

    def matches(self, name: str) -> bool:
        """Return whether a name is of the pattern."""
        return self._expression.fullmatch(name) is not None and "\x00" not in name

    def format(self, key: Key) -> str:
        """Return the name with these ids."""
        return self._template % key


def read_id(column: Column[Any], text: str) -> Any | None:
    """Return an id as its column keeps it, or None where no row can have it.

    Only the canonical spelling is an id, so that no resource has two names: `007` and an upper-case UUID are none.
    """
    kind = python_type(column)
    if kind is int:
        return int(text) if _CANONICAL_INTEGER.fullmatch(text) and int(text) <= MAX_SERIAL else None
    if kind is UUID:
        try:
            read = UUID(text)
        except ValueError:
            return None
        return read if str(read) == text else None
    return text if "\x00" not in text else None


def names_of(message: Descriptor, table: Table) -> Names:
    """Return the names of a resource from its `google.api.resource` and its table.

    The last variable is the primary key; one before it is a parent's, kept in the column `<variable>_id`.

    Raises:
        DeclarationError: The message declares no pattern, or a variable has no column that can keep it.
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
        if python_type(table.c[column]) not in (int, str, UUID):
            raise DeclarationError(f"{message.full_name}: {table.name}.{column} is no integer, no text and no UUID")
        if python_type(table.c[column]) is str and not is_bytewise(table.c[column]):
            raise DeclarationError(
                f"{message.full_name}: {table.name}.{column} would have another order on another database: use"
                " tablestakes.bytewise"
            )
        columns.append(table.c[column])
    singleton = not pattern.endswith("}")
    softly = deletes_softly(message, table, singleton=singleton)
    return Names(pattern, tuple(columns), _live(table, columns[-1], singleton=singleton, softly=softly))


def _live(table: Table, id_: Column[Any], *, singleton: bool, softly: bool) -> tuple[ColumnElement[bool], ...]:
    if not singleton:
        return tuple(live(table)) if softly else ()
    # A singleton is deleted with its parent. That its key refers to the parent's is required later.
    parents = [each.column for each in id_.foreign_keys]
    return tuple(
        select(1).where(id_ == parent, *conditions).correlate(table).exists()
        for parent in parents
        if (conditions := live(parent.table))
    )


def is_bytewise(column: Column[Any]) -> bool:
    """Return whether a column's text is ordered by its bytes on PostgreSQL, as it is on SQLite."""
    make_dialect: Any = postgresql.dialect
    kind: Any = plain(column.type).dialect_impl(make_dialect())
    return getattr(kind, "collation", None) == "C"


def _only_key(message: Descriptor, table: Table) -> str:
    key = table.primary_key.columns.keys()
    if len(key) != 1:
        raise DeclarationError(f"{message.full_name}: the table {table.name} needs a primary key of one column")
    return key[0]


def plural_of(message: Descriptor) -> str:
    """Return a resource's plural as method names spell it: `Users`, from `google.api.resource`.

    Raises:
        DeclarationError: The option has no plural.
    """
    plural = option(message, resource_pb2.resource).plural
    if not plural:
        raise DeclarationError(f"{message.full_name}: its google.api.resource option needs a plural")
    return str(plural[0].upper() + plural[1:])


def type_of(message: Descriptor) -> str:
    """Return a resource's type, by which references name it: `marketplace.example.com/User`."""
    return str(option(message, resource_pb2.resource).type)
