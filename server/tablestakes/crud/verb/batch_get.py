"""BatchGet: many resources by their names, all of them or none (AIP-231)."""

from functools import lru_cache
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.view import READ_MASK, view_chooser
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.view import KEPT_VIEWS
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field, require_names
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import invalid_field, not_found

# Names in one request.
MOST = 1000


def bind(rpc: Rpc) -> Method:
    """Return the method that gets many resources, in one statement and one more for each collection."""
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    above = names.parent
    require_names(rpc.descriptor.input_type)
    if above:
        require(rpc.descriptor.input_type, parent=STRING)
    items = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    response = GetMessageClass(rpc.descriptor.output_type)
    chosen = view_chooser(schema, asks)
    statement_for = lru_cache(KEPT_VIEWS)(schema.rows.select_many)

    async def batch_get(call: Call[Any]) -> Work[Message]:
        request = call.request
        wanted = list(request.names)
        if not 0 < len(wanted) <= MOST:
            raise invalid_field("names", f"must have at least one name, and at most {MOST}.", "BATCH_SIZE")
        # Without a parent they may be below any.
        parent = above.parse(request.parent, "parent", wildcard=True) if above and request.parent else ()
        keys = [names.parse(name, f"names[{index}]") for index, name in enumerate(wanted)]
        for index, key in enumerate(keys):
            if not _is_below(key, parent):
                raise invalid_field(f"names[{index}]", f"must be below {request.parent}.", "PARENT_MISMATCH")
        view = chosen(request)
        statement, ids = statement_for(view), padded(list(dict.fromkeys(key[-1] for key in keys)))

        def read(session: Session) -> Message:
            rows = session.connection.execute(statement, {"ids": ids}).all()
            found = dict(zip(map(view.key, rows), view.messages(session.connection, rows), strict=True))
            # An id alone may be there below another parent than the name says.
            for name, key in zip(wanted, keys, strict=True):
                if key not in found:
                    raise not_found(name)
            return response(**{items: [found[key] for key in keys]})

        return Work(read)

    return rpc.method(batch_get, "batch get", reads=True)


def _is_below(key: Key, parent: Key) -> bool:
    return all(above in (ANY_ID, id_) for above, id_ in zip(parent, key, strict=False))


BATCH_GET = Verb("BatchGet", bind, plural=True, serves=frozenset({READ_MASK}))
