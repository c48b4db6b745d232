"""BatchDelete: many resources, all of them or none (AIP-235)."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.empty_pb2 import Empty
from sqlalchemy import BindParameter, bindparam

from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.many import Found
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import EMPTY, require_field, require_response
from tablestakes.crud.verb.batch import Faults, item_rpc, read_items, require_below, require_distinct
from tablestakes.crud.verb.batch_each import bind_each
from tablestakes.crud.verb.delete import DELETE, Deletion, ToDelete
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that deletes many resources.

    One statement locks their rows, one deletes them, and with `force` one is for each type of resource below them.
    Those that are deleted softly are deleted one after the other, and returned.
    """
    schema = rpc.schema
    if schema.singleton is not None:
        raise DeclarationError(f"{rpc.descriptor.full_name}: a singleton is not deleted")
    item = item_rpc(rpc, "Delete")
    if schema.removal is not None:
        answers = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
        return bind_each(rpc, DELETE.bind(item), lambda deleted: rpc.response(**{answers: deleted}))
    require_response(rpc.descriptor, EMPTY)
    if (function := rpc.declared(item.descriptor.name)) is not None:
        return bind_each(rpc, function, lambda _: Empty())
    deletion = Deletion(item)
    # The last id in a name is that of one row, whatever the ids before it.
    last = len(schema.names.columns) - 1
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    below = [(each.rows, each.names.columns[last].in_(ids)) for each in schema.descendants]

    async def batch_delete(call: Call[Any]) -> Work[Empty]:
        request = call.request
        all_wanted = await read_items(request, deletion.wanted)
        keys = [wanted.key for wanted in all_wanted if wanted.key is not None]
        require_below(rpc, request, [wanted.key or () for wanted in all_wanted])
        require_distinct(keys)

        def write(session: Session) -> Empty:
            locked = schema.many.lock(session, [key[-1] for key in keys]) if keys else {}
            _require(session, schema, all_wanted, locked)
            there = [wanted for wanted in all_wanted if wanted.key in locked]
            if forced := [wanted.key[-1] for wanted in there if wanted.force and wanted.key]:
                with session.elevated():
                    for rows, of_them in below:
                        rows.delete_where(session, of_them, {"ids": padded(forced)})
            if there:
                schema.many.delete(session, [wanted.key for wanted in there if wanted.key])
            return Empty()

        works = [deletion.work(wanted) for wanted in all_wanted]
        return Work(write, atomic=True, items=list(zip(request.requests, works, strict=True)))

    return rpc.method(batch_delete, "batch delete", item=DELETE.bind(item))


def _require(session: Session, schema: Schema, all_wanted: Sequence[ToDelete], locked: Found) -> None:
    """Require that every deletion can be made."""
    with Faults() as faults:
        for index, wanted in enumerate(all_wanted):
            with faults.of(index):
                row = None if wanted.key is None else locked.get(wanted.key)
                if row is None and not wanted.missing_is_fine:
                    raise not_found(wanted.name)
                if row is None and wanted.key is not None:
                    schema.rows.refuse_seen(session, wanted.key)
                if row is not None and wanted.key is not None and wanted.version is not None:
                    schema.rows.check_version(wanted.key, wanted.version, schema.rows.version_of(row))


BATCH_DELETE = Verb("BatchDelete", bind, plural=True)
