"""BatchCreate: many new resources, all of them or none (AIP-233)."""

from typing import Any

from google.protobuf.message import Message

from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.collection import replace_lists
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require_field
from tablestakes.crud.verb.batch import item_rpc, read_items, require_below
from tablestakes.crud.verb.batch_each import bind_each
from tablestakes.crud.verb.create import CREATE, Creation
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work


def bind(rpc: Rpc) -> Method:
    """Return the method that creates many resources.

    One statement is for their ids where the database counts them, one for their rows, and up to four for each
    collection.
    """
    schema, names = rpc.schema, rpc.schema.names
    item = item_rpc(rpc, "Create")
    answers = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    if (function := rpc.declared(item.descriptor.name)) is not None:
        return bind_each(rpc, function, lambda made: rpc.response(**{answers: made}))
    creation = Creation(item)
    id_name = names.id_column.name
    if not creation.knows_id and not schema.many.counts:
        raise DeclarationError(
            f"{rpc.descriptor.full_name}: {schema.table.name}.{id_name} must be chosen by the caller, be made by a"
            " function, or be counted by the database"
        )

    async def batch_create(call: Call[Any]) -> Work[Message]:
        request = call.request
        news = await read_items(request, creation.new)
        above = [column.name for column in names.columns[:-1]]
        require_below(rpc, request, [tuple(new.values[name] for name in above) for new in news])

        def write(session: Session) -> Message:
            rows = [new.values for new in news]
            if not creation.knows_id:
                ids = schema.many.new_ids(session.connection, len(rows))
                rows = [{**values, id_name: id_} for values, id_ in zip(rows, ids, strict=True)]
            keys = [tuple(values[column.name] for column in names.columns) for values in rows]
            found = schema.many.insert(session, rows)
            replace_lists(session.connection, [(key[-1], new.lists) for key, new in zip(keys, news, strict=True)])
            made = schema.full.messages(session.connection, [found[key] for key in keys])
            return rpc.response(**{answers: made})

        items = [(each, creation.work(new)) for each, new in zip(request.requests, news, strict=True)]
        return Work(write, atomic=True, items=items)

    return rpc.method(batch_create, "batch create", item=CREATE.bind(item))


BATCH_CREATE = Verb("BatchCreate", bind, plural=True)
