"""List: a page of resources (AIP-132, AIP-158), found by the place where the page before it ended.

Where its request has them: a `filter` (AIP-160) says which resources there are, `show_deleted` that there are
deleted ones too (AIP-164), `order_by` in which order they come, `skip` how many are left out, `return_total_size`
that they are to be counted, and `read_mask` which of their fields are read.
"""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Row

from tablestakes.crud.asks import BOOL, INT32, SHOW_DELETED, STRING
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.filtered import FILTER, filter_reader
from tablestakes.crud.query.keyset import PageStatement, page_parameters
from tablestakes.crud.query.order import FIELD, Order, Orders
from tablestakes.crud.query.page import page_size, skipped
from tablestakes.crud.query.position import pack, unpack
from tablestakes.crud.query.read import read_page
from tablestakes.crud.query.statements import ListStatements
from tablestakes.crud.query.token import scope_of
from tablestakes.crud.query.total import Total
from tablestakes.crud.query.view import READ_MASK, view_chooser
from tablestakes.crud.session import Session
from tablestakes.crud.shape import has_field, require, require_field
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found

SKIP, RETURN_TOTAL = "skip", "return_total_size"
TOTAL, ESTIMATE = "total_size", "estimated_total_size"
INTEGERS = {"int32": INT32, "int64": FieldDescriptor.TYPE_INT64}


def bind(rpc: Rpc) -> Method:
    """Return the method that lists resources, below a parent where their names have one."""
    schema, asks, tokens = rpc.schema, rpc.asks, rpc.tokens
    names, parent = schema.names, schema.names.parent
    require(rpc.descriptor.input_type, page_size=INT32, page_token=STRING, **({"parent": STRING} if parent else {}))
    require(rpc.descriptor.output_type, next_page_token=STRING)
    items = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    response = GetMessageClass(rpc.descriptor.output_type)
    filter_of = filter_reader(rpc.descriptor.input_type, schema, rpc.limits)
    order_of, skip_of, is_counted = _orders(rpc), _skip(rpc), _is_counted(rpc)
    statements = ListStatements(schema, rpc.most_counted)
    view_of = view_chooser(schema, asks, basic_by_default=True)

    async def list_(call: Call[Any]) -> Work[Message]:
        request = call.request
        size, skip, order = page_size(request.page_size), skip_of(request), order_of(request)
        only, given = filter_of(request)
        view, deleted = view_of(request), asks.show_deleted(request)
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        bound = names.bind(key) | given
        token: str = request.page_token
        scope = scope_of(rpc.descriptor, request)
        start = unpack(tokens.open(token, scope)) if token else None

        def page(place: tuple[Any, ...] | None, *, skip: bool) -> PageStatement:
            after = None if place is None else tuple(value is not None for value in place)
            return statements.page(view, order, after, skip, below, only, deleted)

        def read(session: Session) -> Message:
            connection = session.connection

            def rows(last: Row[Any] | None, limit: int) -> Sequence[Row[Any]]:
                place = start if last is None else page(start, skip=False).place(last)
                left_out = skip if last is None else 0
                found = page(place, skip=left_out > 0)
                return connection.execute(found.select, bound | page_parameters(limit, left_out, place)).all()

            found = read_page(connection, view, rows, size)
            # A parent without children is there, and one that does not exist is not.
            if below and not found.messages and not token and not schema.has_parent(connection, key, deleted=True):
                raise not_found(request.parent)
            values: dict[str, Any] = {items: found.messages}
            if found.last is not None:
                place = page(start, skip=False).place(found.last)
                values["next_page_token"] = tokens.seal(pack(place), scope)
            if is_counted(request):
                values |= _told(statements.counting(below, only, deleted).total(connection, bound))
            return response(**values)

        return Work(read)

    return rpc.method(list_, "list", reads=True)


def _orders(rpc: Rpc) -> Callable[[Any], Order]:
    """Return the function from a request to its order."""
    orders = Orders(rpc.schema)
    if not has_field(rpc.descriptor.input_type, FIELD, STRING):
        return lambda _: orders.default
    return lambda request: orders.read(request.order_by)


def _skip(rpc: Rpc) -> Callable[[Any], int]:
    """Return the function from a request to how many resources are left out before its page."""
    return (
        (lambda request: skipped(request.skip))
        if has_field(rpc.descriptor.input_type, SKIP, INT32)
        else lambda _: 0
    )


def _is_counted(rpc: Rpc) -> Callable[[Any], bool]:
    """Return the function from a request to whether its resources are to be counted."""
    if not has_field(rpc.descriptor.input_type, RETURN_TOTAL, BOOL):
        return lambda _: False
    for name, kind in ((TOTAL, "int32"), (ESTIMATE, "int64")):
        field = rpc.descriptor.output_type.fields_by_name.get(name)
        if field is None or not field.has_presence or field.type != INTEGERS[kind]:
            raise DeclarationError(
                f"{rpc.descriptor.input_type.full_name} has {RETURN_TOTAL}: {rpc.descriptor.output_type.full_name}"
                f" needs `optional {kind} {name}`, for one of the two is not known"
            )
    return lambda request: bool(request.return_total_size)


def _told(total: Total) -> dict[str, int]:
    """Return a total as a response has it."""
    told = {TOTAL: total.exact, ESTIMATE: total.estimate}
    return {name: value for name, value in told.items() if value is not None}


LIST = Verb("List", bind, plural=True, serves=frozenset({FILTER, FIELD, SKIP, READ_MASK, SHOW_DELETED}))
