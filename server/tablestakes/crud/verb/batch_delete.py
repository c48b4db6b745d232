"""BatchDelete: many resources, for good, all of them or none (AIP-235)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from google.protobuf.empty_pb2 import Empty
from sqlalchemy import BindParameter, bindparam

from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.many import Found
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import EMPTY, require_response
from tablestakes.crud.verb.batch import Faults, item_rpc, read_items, require_below, require_distinct
from tablestakes.crud.verb.batch_each import bind_each
from tablestakes.crud.verb.delete import DELETE, Deletion, Removal
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that deletes many resources.

    One statement locks their rows, one deletes them, and with `force` one is for each type of resource below them.
    """
    schema = rpc.schema
    if schema.singleton is not None:
        raise DeclarationError(f"{rpc.descriptor.full_name}: a singleton is not deleted")
    item = item_rpc(rpc, "Delete")
    require_response(rpc.descriptor, EMPTY)
    if (function := rpc.declared(item.descriptor.name)) is not None:
        return bind_each(rpc, function, lambda _: Empty())
    deletion = Deletion(item)
    # The last id in a name is that of one row, whatever the ids before it.
    last = len(schema.names.columns) - 1
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    below = [sqlalchemy.delete(each.table).where(each.names.columns[last].in_(ids)) for each in schema.descendants]

    async def batch_delete(call: Call[Any]) -> Work[Empty]:
        request = call.request
        removals = await read_items(request, deletion.removal)
        keys = [removal.key for removal in removals if removal.key is not None]
        require_below(rpc, request, [removal.key or () for removal in removals])
        require_distinct(keys)

        def write(session: Session) -> Empty:
            locked = schema.many.lock(session, [key[-1] for key in keys]) if keys else {}
            _require(schema, removals, locked)
            there = [removal for removal in removals if removal.key in locked]
            if forced := [removal.key[-1] for removal in there if removal.force and removal.key]:
                for each in below:
                    session.connection.execute(each, {"ids": padded(forced)})
            if there:
                schema.many.delete(session, [removal.key[-1] for removal in there if removal.key])
            return Empty()

        works = [deletion.work(removal) for removal in removals]
        return Work(write, atomic=True, items=list(zip(request.requests, works, strict=True)))

    return rpc.method(batch_delete, "batch delete", item=DELETE.bind(item))


def _require(schema: Schema, removals: Sequence[Removal], locked: Found) -> None:
    """Require that every deletion can be made."""
    with Faults() as faults:
        for index, removal in enumerate(removals):
            with faults.of(index):
                row = None if removal.key is None else locked.get(removal.key)
                if row is None and not removal.missing_is_fine:
                    raise not_found(removal.name)
                if row is not None and removal.key is not None and removal.version is not None:
                    schema.rows.check_version(removal.key, removal.version, schema.rows.version_of(row))


BATCH_DELETE = Verb("BatchDelete", bind, plural=True)
