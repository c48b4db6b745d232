"""Get: one resource by its name (AIP-131)."""

from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.view import READ_MASK, view_chooser
from tablestakes.crud.schema.view import KEPT_VIEWS
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_response
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that gets a resource."""
    schema, asks = rpc.schema, rpc.asks
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, schema.descriptor.full_name)
    chosen = view_chooser(schema, asks)
    statement_for = lru_cache(KEPT_VIEWS)(schema.rows.select)

    async def get(call: Call[Any]) -> Work[Message]:
        name: str = call.request.name
        key = schema.names.parse(name, "name")
        view = chosen(call.request)
        statement, parameters = statement_for(view), schema.names.bind(key)

        def read(session: Session) -> Message:
            row = session.connection.execute(statement, parameters).first()
            if row is None:
                raise not_found(name)
            return view.message(session.connection, row)

        return Work(read, key=key)

    return rpc.method(get, "get singleton" if schema.singleton else "get", reads=True)


GET = Verb("Get", bind, serves=frozenset({READ_MASK}))
