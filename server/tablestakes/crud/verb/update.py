"""Update: the fields of a resource that a mask selects (AIP-134)."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import JSON, bindparam, select

from tablestakes.columns import Document
from tablestakes.crud.asks import FIELD_MASK
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field, require_response
from tablestakes.crud.update_mask import fields_to_write
from tablestakes.crud.verb.upsert import Upsert
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import FieldViolation, invalid_fields, not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that updates a resource; the first update of a singleton makes its row (AIP-156)."""
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    body = require_field(rpc.descriptor.input_type, schema.descriptor)
    require(rpc.descriptor.input_type, update_mask=FIELD_MASK)
    require_response(rpc.descriptor, schema.descriptor.full_name)
    _require_writable(rpc)
    upsert = Upsert(rpc, body) if "allow_missing" in asks.fields else None

    async def update(call: Call[Any]) -> Work[Message]:
        message = getattr(call.request, body)
        may_create = upsert if asks.allow_missing(call.request) else None
        key = may_create.key(message.name) if may_create else names.parse(message.name, f"{body}.name")
        # Whatever the mask says (AIP-154).
        version = version_in(message.etag) if schema.version is not None else None
        parts = fields_to_write(schema, asks.update_mask(call.request), message)
        fields = [schema.fields[part.name] for part in parts if part.name in schema.fields]
        values = await schema.values(message, [field for field in fields if not field.immutable], body)
        fixed = [field for field in fields if field.immutable]
        unchanged = await schema.values(message, fixed, body)
        lists = [schema.collections[part.name] for part in parts if part.name in schema.collections]
        replacements = [each.replacement(message, body) for each in lists]

        def write(session: Session) -> Message:
            if fixed:
                require_unchanged(session, schema, call.request, body, fixed, unchanged)
            # Where nothing is written, update_time and the etag stay as they are.
            if values or replacements:
                row = schema.rows.update(session, key, values, version)
            else:
                row = schema.rows.read(session, key, version)
            if row is None:
                raise not_found(message.name)
            for replace in replacements:
                replace(session.connection, key[-1])
            return schema.full.message(session.connection, row)

        if may_create is not None:
            return await may_create.work(message, key, parts, write, version)
        # Collections are read back with what was written, or the answer could be an error of a write that was done.
        return Work(write, atomic=bool(schema.collections), writes=_writes(schema, key, values), key=key)

    chosen = {column.name: f"{body}.name" for column in names.columns} if upsert else {}
    return rpc.method(update, "update singleton" if schema.singleton else "update", chosen)


def require_unchanged(
    session: Session,
    schema: Schema,
    request: Any,
    body: str,
    fields: Sequence[Field | NestedField],
    values: dict[str, Any],
) -> None:
    """Refuse a new value of an IMMUTABLE field, and accept the value that it has (AIP-203).

    The database compares, for it knows what a value becomes once it is kept. A statement of its own is enough: no
    concurrent Update can change an IMMUTABLE value in between.

    Raises:
        StatusError: INVALID_ARGUMENT on each field whose value would change; NOT_FOUND, there is no such resource.
    """
    message = getattr(request, body)
    key = schema.names.parse(message.name, f"{body}.name")
    columns = [(field, column) for field in fields for column in field.columns]
    same = [
        column.is_not_distinct_from(bindparam(f"sent_{column.name}", type_=column.type)) for _, column in columns
    ]
    parameters = schema.names.bind(key) | {f"sent_{column}": value for column, value in values.items()}
    row = session.connection.execute(select(*same).where(schema.names.where()), parameters).first()
    if row is None:
        raise not_found(message.name)
    changed = dict.fromkeys(field.name for (field, _), equal in zip(columns, row, strict=True) if not equal)
    if changed:
        raise invalid_fields(
            *(FieldViolation(f"{body}.{name}", "cannot be changed.", "IMMUTABLE_FIELD") for name in changed)
        )


def _writes(schema: Schema, key: tuple[Any, ...], values: dict[str, Any]) -> dict[str, Any]:
    # A singleton's row refers to its parent, which may be gone by the time that the row is made.
    return values | {schema.names.id_column.name: key[-1]} if schema.singleton else values


def _require_writable(rpc: Rpc) -> None:
    """Refuse fields that Update could not write, or not keep as they are."""
    schema = rpc.schema
    if schema.names.singleton and any(field.immutable for field in schema.fields.values()):
        raise DeclarationError(
            f"{schema.descriptor.full_name} is a singleton without a Create: none of its fields can be IMMUTABLE"
        )
    for column in (column for field in schema.fields.values() if field.immutable for column in field.columns):
        if isinstance(column.type, JSON) and column.type is not Document:
            raise DeclarationError(
                f"{schema.table.name}.{column.name} keeps an IMMUTABLE field and cannot be compared: use"
                " tablestakes.Document"
            )
    for collection in schema.collections.values():
        if not collection.writable:
            continue
        if schema.names.singleton or collection.immutable:
            raise DeclarationError(
                f"{rpc.descriptor.full_name} needs a function: {schema.descriptor.name}.{collection.name} cannot be"
                " written by a standard method"
            )
        collection.require_writable(rpc.descriptor.full_name)


UPDATE = Verb("Update", bind, serves=frozenset({"allow_missing"}))
