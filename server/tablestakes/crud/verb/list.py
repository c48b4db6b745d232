"""List: a page of resources (AIP-132), found by the key where the page before it ended, not by counting rows.

Where the request has a `filter` (AIP-160), the page has the resources that it is true of.
"""

from collections.abc import Callable, Sequence
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
from tablestakes.crud.schema.view import View
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found
from tablestakes.filter import Compiled, FilterError, Filters
from tablestakes.filter.filters import MOST_SHAPES

FILTER = "filter"


def bind(rpc: Rpc) -> Method:
    """Return the method that lists resources, below a parent where their names have one."""
    schema, asks, tokens = rpc.schema, rpc.asks, rpc.tokens
    names, parent = schema.names, schema.names.parent
    require(rpc.descriptor.input_type, page_size=INT32, page_token=STRING, **({"parent": STRING} if parent else {}))
    require(rpc.descriptor.output_type, next_page_token=STRING)
    items = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    response = GetMessageClass(rpc.descriptor.output_type)
    filters = _filters(rpc)

    # One for each way to ask: by view, with or without a token, below which parents, by which filter's shape.
    @lru_cache(maxsize=MOST_SHAPES)
    def statement(view: View, after: bool, below: tuple[int, ...], only: Compiled | None) -> Select[Any]:
        page = select(*view.columns).order_by(names.id_column).limit(bindparam("limit"))
        if after:
            page = page.where(names.id_column > bindparam("after"))
        if only is not None:
            page = page.where(only.clause)
        return page.where(*(names.equals(index) for index in below))

    async def list_(call: Call[Any]) -> Work[Message]:
        request = call.request
        size = page_size(request.page_size)
        after = tokens.open(request, names.id_column)
        view = schema.basic if asks.basic(request, True) else schema.full
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        only, chosen = filters(request)
        bound = names.bind(key) | chosen

        def read(session: Session) -> Message:
            def rows(after: Any, limit: int) -> Sequence[Row[Any]]:
                page = statement(view, after is not None, below, only)
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


def _filters(rpc: Rpc) -> Callable[[Any], tuple[Compiled | None, dict[str, Any]]]:
    """Return the function from a request to its filter in SQL, None for all resources, and its parameters."""
    everything: tuple[None, dict[str, Any]] = (None, {})
    if FILTER not in rpc.descriptor.input_type.fields_by_name:
        return lambda _: everything
    require(rpc.descriptor.input_type, **{FILTER: STRING})
    filters = Filters(rpc.schema, rpc.limits)

    def read(request: Any) -> tuple[Compiled | None, dict[str, Any]]:
        try:
            return filters.read(request.filter) or everything
        except FilterError as error:
            raise error.status(FILTER) from None

    return read


LIST = Verb("List", bind, plural=True, serves=frozenset({FILTER}))
