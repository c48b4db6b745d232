"""Update: the fields of a resource that a mask selects (AIP-134)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import JSON, Row, bindparam, select

from tablestakes.columns import Document
from tablestakes.crud.asks import FIELD_MASK
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.collection import OwnedRows, Replacement
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field, require_response
from tablestakes.crud.update_mask import Written, fields_to_write, inside_values
from tablestakes.crud.verb.upsert import Upsert
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import FieldViolation, invalid_fields, not_found


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a resource, as a request of an Update asks for it.

    Attributes:
        name: The resource's name.
        key: The ids in it.
        version: The version that the resource must have, None for any.
        values: The values to write, by column.
        fixed: The IMMUTABLE fields that were sent.
        sent: Their values by column, which must be those that the resource has.
        lists: The rows of its collections.
        path: The path of the resource in the request.
        message: The resource in the request.
        written: The fields that it writes.
    """

    name: str
    key: Key
    version: int | None
    values: dict[str, Any]
    fixed: Sequence[Field | NestedField]
    sent: dict[str, Any]
    lists: Sequence[tuple[OwnedRows, Replacement]]
    path: str
    message: Message
    written: Written

    @property
    def inside(self) -> bool:
        """Whether it writes inside of messages, of which the rest stays as it is."""
        return bool(self.written.inside)


class Changing:
    """The changing of resources, one or many.

    Args:
        rpc: The Update.

    Raises:
        DeclarationError: The request or the response is not of the shape that an Update needs, or a field could not
            be written, or not be kept as it is.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._schema, self._asks = rpc.schema, rpc.asks
        self._body = require_field(rpc.descriptor.input_type, rpc.schema.descriptor)
        require(rpc.descriptor.input_type, update_mask=FIELD_MASK)
        require_response(rpc.descriptor, rpc.schema.descriptor.full_name)
        _require_writable(rpc)
        self._upsert = Upsert(rpc, self._body) if "allow_missing" in rpc.asks.fields else None

    @property
    def paths(self) -> dict[str, str]:
        """The paths in the request behind columns that are behind no field of the resource."""
        columns = self._schema.names.columns if self._upsert else ()
        return {column.name: f"{self._body}.name" for column in columns}

    def may_create(self, request: Any) -> bool:
        """Return whether a request creates the resource where there is none."""
        return self._upsert is not None and self._asks.allow_missing(request)

    async def change(self, request: Any, before: str = "") -> Change:
        """Return the change that a request asks for.

        Args:
            request: The request of the Update.
            before: The beginning of the paths in errors.

        Raises:
            StatusError: The request is refused.
        """
        schema, message, path = self._schema, getattr(request, self._body), f"{before}{self._body}"
        if self._upsert is not None and self._asks.allow_missing(request):
            key = self._upsert.key(message.name)
        else:
            key = schema.names.parse(message.name, f"{path}.name")
        written = fields_to_write(schema, self._asks.update_mask(request), message)
        parts = written.whole
        fields = [schema.fields[part.name] for part in parts if part.name in schema.fields]
        fixed = [field for field in fields if field.immutable]
        lists = [schema.collections[part.name] for part in parts if part.name in schema.collections]
        return Change(
            name=message.name,
            key=key,
            # Whatever the mask says (AIP-154).
            version=version_in(message.etag) if schema.version is not None else None,
            values=await schema.values(message, [field for field in fields if not field.immutable], path),
            fixed=fixed,
            sent=await schema.values(message, fixed, path),
            lists=[(each.rows, each.replacement(message, path)) for each in lists],
            path=path,
            message=message,
            written=written,
        )

    def inside(self, change: Change, row: Row[Any]) -> dict[str, Any]:
        """Return the values by column that a change writes inside of messages, given the locked row."""
        stored = self._schema.full.to_message(row)
        return inside_values(self._schema, change.written, stored, change.message, change.path)

    def write(self, session: Session, change: Change) -> Message:
        """Change a resource, and return it."""
        schema, key = self._schema, change.key
        if change.fixed:
            require_unchanged(session, schema, change)
        values, version = change.values, change.version
        if change.inside:
            # The rest of the messages must not change meanwhile.
            there = schema.rows.lock(session, key, version)
            before = schema.rows.read(session, key) if there else None
            if before is None:
                raise not_found(change.name)
            values, version = values | self.inside(change, before), None
        # Where nothing is written, update_time and the etag stay as they are.
        if values or change.lists:
            row = schema.rows.update(session, key, values, version)
        else:
            row = schema.rows.read(session, key, change.version)
        if row is None:
            raise not_found(change.name)
        for rows, replacement in change.lists:
            rows.replace(session.connection, {key[-1]: replacement})
        return schema.full.message(session.connection, row)

    async def work(self, request: Any, change: Change) -> Work[Message]:
        """Return the work of changing a resource, or of creating it where the request allows that."""
        schema = self._schema

        def write(session: Session) -> Message:
            return self.write(session, change)

        if self._upsert is not None and self._asks.allow_missing(request):
            message = getattr(request, self._body)
            parts = [*change.written.whole, *(schema.fields[name] for name in change.written.inside)]
            return await self._upsert.work(message, change.key, parts, write, change.version)
        # Collections are read back with what was written, or the answer could be an error of a write that was done.
        writes = _writes(schema, change.key, change.values)
        several = bool(schema.collections) or change.inside or schema.rows.guard.guards(change.values)
        return Work(write, atomic=several, writes=writes, key=change.key)


def bind(rpc: Rpc) -> Method:
    """Return the method that updates a resource; the first update of a singleton makes its row (AIP-156)."""
    changing = Changing(rpc)

    async def update(call: Call[Any]) -> Work[Message]:
        return await changing.work(call.request, await changing.change(call.request))

    return rpc.method(update, "update singleton" if rpc.schema.singleton else "update", changing.paths)


def require_unchanged(session: Session, schema: Schema, change: Change) -> None:
    """Refuse a new value of an IMMUTABLE field, and accept the value that it has (AIP-203).

    The database compares, for it knows what a value becomes once it is kept. A statement of its own is enough: no
    concurrent Update can change an IMMUTABLE value in between.

    Raises:
        StatusError: INVALID_ARGUMENT on each field whose value would change; NOT_FOUND, there is no such resource.
    """
    columns = [(field, column) for field in change.fixed for column in field.columns]
    same = [
        column.is_not_distinct_from(bindparam(f"sent_{column.name}", type_=column.type)) for _, column in columns
    ]
    parameters = schema.names.bind(change.key) | {f"sent_{name}": value for name, value in change.sent.items()}
    row = session.connection.execute(select(*same).where(schema.names.where()), parameters).first()
    if row is None:
        raise not_found(change.name)
    changed = dict.fromkeys(field.name for (field, _), equal in zip(columns, row, strict=True) if not equal)
    if changed:
        raise invalid_fields(
            *(FieldViolation(f"{change.path}.{name}", "cannot be changed.", "IMMUTABLE_FIELD") for name in changed)
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
