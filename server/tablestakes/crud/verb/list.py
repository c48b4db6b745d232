"""List: a page of resources (AIP-132), found by the key where the page before it ended, not by counting rows."""

from functools import cache
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Connection, Select, bindparam, select

from tablestakes.crud.asks import INT32, STRING
from tablestakes.crud.call import Call
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.page import page_size
from tablestakes.crud.schema.reference import existing
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.schema.view import View
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

    @cache  # one for each way to ask: by view, with or without a token, below which of the parents
    def statement(view: View, after: bool, below: tuple[int, ...]) -> Select[Any]:
        # One row more than the page holds says whether there is another page.
        page = select(*view.columns).order_by(names.id_column).limit(bindparam("limit"))
        if after:
            page = page.where(names.id_column > bindparam("after"))
        return page.where(*(names.equals(index) for index in below))

    async def list_(call: Call[Any]) -> Work[Message]:
        request = call.request
        size = page_size(request.page_size)
        after = tokens.open(request, names.id_column)
        view = schema.basic if asks.basic(request, True) else schema.full
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        page = statement(view, after is not None, below)
        parameters = names.bind(key) | {"limit": size + 1} | ({} if after is None else {"after": after})

        def read(session: Session) -> Message:
            rows = session.connection.execute(page, parameters).all()
            if below and not rows and after is None:
                _require_parent(session.connection, schema, key, request.parent)
            values: dict[str, Any] = {items: view.messages(session.connection, rows[:size])}
            if len(rows) > size:
                values["next_page_token"] = tokens.seal(request, view.key(rows[size - 1])[-1])
            return response(**values)

        return Work(read, reads=True)

    return rpc.method(list_, "list")


def _require_parent(connection: Connection, schema: Schema, key: Key, name: str) -> None:
    """Tell a parent without children from a parent that does not exist."""
    for column, value in zip(schema.names.columns, key, strict=False):
        if value is not ANY_ID and not existing(connection, column, [value]):
            raise not_found(name)


LIST = Verb("List", bind, plural=True)
