"""Create: a new resource (AIP-133), below a parent and under a chosen id where its request has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from tablestakes.columns import uuid7
from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.behavior import REQUIRED, behaves
from tablestakes.crud.schema.codec import python_type
from tablestakes.crud.schema.collection import OwnedRows, Replacement, unfilled_columns
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.name import Names, read_id
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field, require_response
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import invalid_field


@dataclass(frozen=True, slots=True)
class New:
    """A resource that is to be created.

    Attributes:
        values: The values of its row by column, as far as the caller and the engine give them.
        lists: The rows of its collections.
    """

    values: dict[str, Any]
    lists: Sequence[tuple[OwnedRows, Replacement]]


class Creation:
    """The creation of resources, one or many.

    Args:
        rpc: The Create.

    Raises:
        DeclarationError: The request or the response is not of the shape that a Create needs, or a column of the
            table would have no value.
    """

    def __init__(self, rpc: Rpc) -> None:
        schema = self._schema = rpc.schema
        parent = self._parent = schema.names.parent
        self._body = require_field(rpc.descriptor.input_type, schema.descriptor)
        if parent:
            require(rpc.descriptor.input_type, parent=STRING)
        require_response(rpc.descriptor, schema.descriptor.full_name)
        self._chosen_id = _chosen_id(rpc, self._body)
        self._make_id = None if self._chosen_id else id_maker(schema)
        _require_filled(rpc, filled_by_name=self.knows_id)
        self._writable = [part for part in schema.fields.values() if part.writable]
        self._lists = [collection for collection in schema.collections.values() if collection.writable]
        for collection in self._lists:
            collection.require_writable(rpc.descriptor.full_name)

    @property
    def knows_id(self) -> bool:
        """Whether the id is known before the write."""
        return self._chosen_id is not None or self._make_id is not None

    @property
    def paths(self) -> dict[str, str]:
        """The paths in the request behind columns that are behind no field of the resource."""
        names = self._schema.names
        paths = {column.name: "parent" for column in (self._parent.columns if self._parent else ())}
        return paths | ({names.id_column.name: self._chosen_id} if self._chosen_id else {})

    async def new(self, request: Any, before: str = "") -> New:
        """Return the resource that a request creates.

        Args:
            request: The request of the Create.
            before: The beginning of the paths in errors.

        Raises:
            StatusError: The request is refused.
        """
        schema, names, parent = self._schema, self._schema.names, self._parent
        message, path = getattr(request, self._body), f"{before}{self._body}"
        above = parent.parse(request.parent, f"{before}parent") if parent else ()
        # A field that is not set is left to the column's default.
        sent = (each for each in self._writable if not each.optional or each.is_set(message))
        values = await schema.values(message, sent, path)
        values |= {column.name: value for column, value in zip(names.columns, above, strict=False)}
        if self._chosen_id:
            chosen = getattr(request, self._chosen_id)
            values[names.id_column.name] = _chosen(names, chosen, f"{before}{self._chosen_id}")
        elif self._make_id:
            values[names.id_column.name] = self._make_id()
        lists = [(each.rows, each.replacement(message, path)) for each in self._lists if each.is_set(message)]
        return New(values, lists)

    def write(self, session: Session, new: New) -> Message:
        """Create a resource, and return it."""
        schema = self._schema
        row = schema.rows.insert(session, new.values)
        for rows, replacement in new.lists:
            rows.replace(session.connection, {schema.full.key(row)[-1]: replacement})
        # Without lists there is none to read either.
        return schema.full.message(session.connection, row) if new.lists else schema.full.to_message(row)

    def work(self, new: New) -> Work[Message]:
        """Return the work of creating a resource."""
        atomic = bool(new.lists) or self._schema.rows.guard.guards(new.values)
        return Work(lambda session: self.write(session, new), atomic=atomic, writes=new.values)


def bind(rpc: Rpc) -> Method:
    """Return the method that creates a resource."""
    creation = Creation(rpc)

    async def create(call: Call[Any]) -> Work[Message]:
        return creation.work(await creation.new(call.request))

    return rpc.method(create, "create", creation.paths)


def id_maker(schema: Schema) -> Callable[[], Any] | None:
    """Return the function that makes the id of a new resource, so that it is known before the write.

    It is the default of the key's column where that is a function, and UUID version 7 (RFC 9562) for a UUID without
    one. For any other key it is None: the database counts.
    """
    column = schema.names.id_column
    default: Any = column.default
    if default is not None and default.is_callable:
        return lambda: default.arg(None)
    return uuid7 if python_type(column) is UUID else None


def _chosen_id(rpc: Rpc, body: str) -> str | None:
    """Return the field of the request by which callers choose the id, None where it has none."""
    name, column = f"{body}_id", rpc.schema.names.id_column
    field = rpc.descriptor.input_type.fields_by_name.get(name)
    if field is None:
        return None
    require(rpc.descriptor.input_type, **{name: STRING})
    if python_type(column) not in (str, UUID) or not behaves(field, REQUIRED):
        raise DeclarationError(
            f"{rpc.descriptor.full_name}: {name} must be REQUIRED, and {column.table.name}.{column.name} be text or"
            " UUID"
        )
    return name


def _chosen(names: Names, text: str, path: str) -> Any:
    """Return a chosen id as its column keeps it, if a name can be made of it and read again."""
    if text == "-":
        raise invalid_field(path, "must not be -, which stands for any id.", "INVALID_ID")
    if not names.matches(names.format(("x",) * (len(names.columns) - 1) + (text,))):
        raise invalid_field(path, "must have neither a slash nor a space.", "INVALID_ID")
    id_ = read_id(names.id_column, text)
    if id_ is None:
        raise invalid_field(path, "must be a UUID in lower case.", "INVALID_ID")
    return id_


def _require_filled(rpc: Rpc, *, filled_by_name: bool) -> None:
    """Require that each column of the table gets a value: a missing one would fail every Create."""
    schema = rpc.schema
    parts: list[Field | NestedField] = [part for part in schema.fields.values() if part.writable]
    filled = {column.name for part in parts for column in part.columns} | schema.audit.columns
    filled |= {column.name for column in schema.names.columns[: None if filled_by_name else -1]}
    if unfilled := unfilled_columns(schema.table, filled):
        raise DeclarationError(
            f"{rpc.descriptor.full_name} leaves {schema.table.name}.{', '.join(unfilled)} without a value: give it"
            f" a default, or serve {rpc.descriptor.name} by a function"
        )


CREATE = Verb("Create", bind)
