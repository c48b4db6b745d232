"""Create: a new resource (AIP-133), below a parent and under a chosen id where its request has them."""

from collections.abc import Callable
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
from tablestakes.crud.schema.collection import unfilled_columns
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.name import Names, read_id
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field, require_response
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import invalid_field


def bind(rpc: Rpc) -> Method:
    """Return the method that creates a resource."""
    schema = rpc.schema
    names, parent = schema.names, schema.names.parent
    body = require_field(rpc.descriptor.input_type, schema.descriptor)
    if parent:
        require(rpc.descriptor.input_type, parent=STRING)
    require_response(rpc.descriptor, schema.descriptor.full_name)
    chosen_id = _chosen_id(rpc, body)
    make_id = None if chosen_id else id_maker(schema)
    _require_filled(rpc, filled_by_name=chosen_id is not None or make_id is not None)
    writable = [part for part in schema.fields.values() if part.writable]
    lists = [collection for collection in schema.collections.values() if collection.writable]
    for collection in lists:
        collection.require_writable(rpc.descriptor.full_name)
    id_name = names.id_column.name

    async def create(call: Call[Any]) -> Work[Message]:
        message = getattr(call.request, body)
        key = parent.parse(call.request.parent, "parent") if parent else ()
        # A field that is not set is left to the column's default.
        values = await schema.values(message, (f for f in writable if not f.optional or f.is_set(message)), body)
        values |= {column.name: value for column, value in zip(names.columns, key, strict=False)}
        if chosen_id:
            values[id_name] = _chosen(names, getattr(call.request, chosen_id), chosen_id)
        elif make_id:
            values[id_name] = make_id()
        replacements = [each.replacement(message, body) for each in lists if each.is_set(message)]

        def write(session: Session) -> Message:
            row = schema.rows.insert(session, values)
            for replace in replacements:
                replace(session.connection, schema.full.key(row)[-1])
            # Without lists there is none to read either.
            return schema.full.message(session.connection, row) if replacements else schema.full.to_message(row)

        return Work(write, atomic=bool(replacements), writes=values)

    paths = {column.name: "parent" for column in (parent.columns if parent else ())}
    return rpc.method(create, "create", paths | ({id_name: chosen_id} if chosen_id else {}))


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
