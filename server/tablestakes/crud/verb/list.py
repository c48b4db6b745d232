"""List: a page of resources (AIP-132), found by the key where the page before it ended, not by counting rows."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Row, Select, bindparam, select

from tablestakes.crud.asks import INT32, STRING
from tablestakes.crud.call import Call
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.page import page_size
from tablestakes.crud.query.read import read_page
from tablestakes.crud.query.view import READ_MASK, view_chooser
from tablestakes.crud.schema.view import KEPT_VIEWS, View
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def bind(rpc: Rpc) -> Method:
    """Return the method that lists resources, below a parent where their names have one."""
    schema, asks, tokens = rpc.schema, rpc.asks, rpc.tokens
    names, parent = schema.names, schema.names.parent
    require(rpc.descriptor.input_type, page_size=INT32, page_token=STRING, **({"parent": STRING} if parent else {}))
    require(rpc.descriptor.output_type, next_page_token=STRING)
    items = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    response = GetMessageClass(rpc.descriptor.output_type)

    chosen = view_chooser(schema, asks, basic_by_default=True)

    @lru_cache(KEPT_VIEWS)  # one for each way to ask: by view, with or without a token, below which of the parents
    def statement(view: View, after: bool, below: tuple[int, ...]) -> Select[Any]:
        page = select(*view.columns).order_by(names.id_column).limit(bindparam("limit"))
        if after:
            page = page.where(names.id_column > bindparam("after"))
        return page.where(*(names.equals(index) for index in below))

    async def list_(call: Call[Any]) -> Work[Message]:
        request = call.request
        size = page_size(request.page_size)
        after = tokens.open(request, names.id_column)
        view = chosen(request)
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        bound = names.bind(key)

        def read(session: Session) -> Message:
            def rows(after: Any, limit: int) -> Sequence[Row[Any]]:
                page = statement(view, after is not None, below)
                given = {"limit": limit} | ({} if after is None else {"after": after})
                return session.connection.execute(page, bound | given).all()

            found = read_page(session.connection, view, rows, after, size)
            # A parent without children is there, and one that does not exist is not.
            if below and not found.messages and after is None and not schema.has_parent(session.connection, key):
                raise not_found(request.parent)
            values: dict[str, Any] = {items: found.messages}
            if found.last_id is not None:
                values["next_page_token"] = tokens.seal(request, found.last_id)
            return response(**values)

        return Work(read)

    return rpc.method(list_, "list", reads=True)


LIST = Verb("List", bind, plural=True, serves=frozenset({READ_MASK}))
