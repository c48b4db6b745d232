"""Delete of a resource that can be restored: it is marked, and returned with the time of its deletion (AIP-164)."""

from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.schema.removal import Removal
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_response
from tablestakes.crud.work import Work
from tablestakes.errors import StatusError, not_found


def bind(rpc: Rpc, removal: Removal) -> Method:
    """Return the method that marks a resource as deleted.

    With `allow_missing` a resource that is deleted already is returned as it is, and an empty one where there is
    none at all.
    """
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, schema.descriptor.full_name)
    deleted = schema.rows.select(schema.full)

    async def delete(call: Call[Any]) -> Work[Message]:
        name: str = call.request.name
        version, force = version_in(asks.etag(call.request)), asks.force(call.request)
        missing_is_fine = asks.allow_missing(call.request)
        try:
            key = names.parse(name, "name")
        except StatusError as error:
            if missing_is_fine and error.code is StatusCode.NOT_FOUND:  # an id that no row can have
                return Work(lambda _: schema.message())
            raise

        def write(session: Session) -> Message:
            connection = session.connection
            row = removal.delete(session, key, rpc.retention, version=version, force=force)
            if row is None and missing_is_fine:
                schema.rows.refuse_seen(session, key)
                row = connection.execute(deleted, names.bind(key)).first()
                return schema.message() if row is None else schema.full.message(connection, row)
            if row is None:
                raise not_found(name)
            return schema.full.message(connection, row)

        return Work(write, atomic=True, key=key)

    return rpc.method(delete, "delete softly")
