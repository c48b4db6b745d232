"""Delete: one resource, for good (AIP-135), and with `force` everything below it, at any depth."""

from typing import Any

import sqlalchemy
from google.protobuf.empty_pb2 import Empty

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.session import Session
from tablestakes.crud.shape import EMPTY, require, require_response
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that deletes a resource."""
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, EMPTY)
    # RETURNING says whether there was a row, in the same round trip.
    statement = sqlalchemy.delete(schema.table).where(names.where()).returning(names.id_column)
    # Whoever makes a resource below locks this row too, for its foreign key: from here on nobody can, until this
    # transaction ends. SQLite has one writer, and no such clause.
    lock = sqlalchemy.select(names.id_column).where(names.where()).with_for_update()
    depth = len(names.columns)
    below = [sqlalchemy.delete(each.table).where(each.names.where(depth)) for each in schema.descendants]

    async def delete(call: Call[Any]) -> Work[Empty]:
        name: str = call.request.name
        key = names.parse(name, "name")
        parameters, force = names.bind(key), asks.force(call.request)

        def write(session: Session) -> Empty:
            if force and below:
                session.connection.execute(lock, parameters).all()
                for each in below:
                    session.connection.execute(each, parameters)
            if session.connection.execute(statement, parameters).first() is None:
                raise not_found(name)
            return Empty()

        return Work(write, atomic=force and bool(below), key=key)

    return rpc.method(delete, "delete")


DELETE = Verb("Delete", bind)
