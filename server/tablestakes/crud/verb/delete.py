"""Delete: one resource, for good (AIP-135), and with `force` everything below it, at any depth."""

from typing import Any

import sqlalchemy
from google.protobuf.empty_pb2 import Empty
from grpc import StatusCode

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.session import Session
from tablestakes.crud.shape import EMPTY, require, require_response
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import StatusError, not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that deletes a resource."""
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, EMPTY)
    depth = len(names.columns)
    below = [sqlalchemy.delete(each.table).where(each.names.where(depth)) for each in schema.descendants]

    async def delete(call: Call[Any]) -> Work[Empty]:
        name: str = call.request.name
        version, force = version_in(asks.etag(call.request)), asks.force(call.request) and bool(below)
        missing_is_fine = asks.allow_missing(call.request)
        try:
            key = names.parse(name, "name")
        except StatusError as error:
            if missing_is_fine and error.code is StatusCode.NOT_FOUND:  # an id that no row can have
                return Work(lambda _: Empty())
            raise

        def remove(session: Session) -> bool:
            if force:
                # Whoever makes a resource below locks this row too, for its foreign key: from here on nobody can,
                # until this transaction ends. SQLite has one writer, and no such clause.
                if not schema.rows.lock(session, key, version):
                    return False
                for each in below:
                    session.connection.execute(each, names.bind(key))
            return schema.rows.delete(session, key, version)

        def write(session: Session) -> Empty:
            if not remove(session) and not missing_is_fine:
                raise not_found(name)
            return Empty()

        return Work(write, atomic=force, key=key)

    return rpc.method(delete, "delete")


DELETE = Verb("Delete", bind, serves=frozenset({"etag", "allow_missing"}))
