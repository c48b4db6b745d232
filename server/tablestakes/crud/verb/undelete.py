"""Undelete: a resource that was deleted softly is live again, and what was deleted with it (AIP-164)."""

from typing import Any

from google.protobuf.message import Message

from tablestakes.columns import DELETE_TIME
from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc, column_paths
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_response
from tablestakes.crud.verb.purge import require_removal
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that restores a resource."""
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    removal = require_removal(rpc)
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, schema.descriptor.full_name)

    async def undelete(call: Call[Any]) -> Work[Message]:
        name: str = call.request.name
        key = names.parse(name, "name")
        version = version_in(asks.etag(call.request))

        def write(session: Session) -> Message:
            row = removal.undelete(session, key, version)
            if row is None:
                raise not_found(name)
            return schema.full.message(session.connection, row)

        return Work(write, atomic=True, writes={DELETE_TIME: None}, key=key)

    # No field of the request has a value that another resource may have by now: those of the resource do.
    paths = {column: path for each in schema.fields.values() for path, column in column_paths(each, each.name)}
    return rpc.method(undelete, "undelete", paths)


UNDELETE = Verb("Undelete", bind, serves=frozenset({"etag"}))
