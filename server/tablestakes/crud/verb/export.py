"""Export: every resource of a request, as a stream of responses that are read in one snapshot of the database."""

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Select, bindparam, select

from tablestakes.crud.asks import SHOW_DELETED, STRING
from tablestakes.crud.call import Call
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.filtered import FILTER, filter_reader
from tablestakes.crud.query.position import pack, unpack
from tablestakes.crud.query.statements import conditions
from tablestakes.crud.query.stream import read_batches
from tablestakes.crud.query.token import scope_of
from tablestakes.crud.query.view import READ_MASK, view_chooser
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.view import KEPT_VIEWS, View
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_field
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found
from tablestakes.filter import Compiled


def bind(rpc: Rpc) -> Method:
    """Return the method that exports resources, below a parent where their names have one.

    Each response has the token that finds those after it, also in another call; the last has none.
    """
    schema, asks, tokens = rpc.schema, rpc.asks, rpc.tokens
    names, parent = schema.names, schema.names.parent
    require(rpc.descriptor.input_type, page_token=STRING, **({"parent": STRING} if parent else {}))
    require(rpc.descriptor.output_type, next_page_token=STRING)
    items = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    response = GetMessageClass(rpc.descriptor.output_type)
    view_of = view_chooser(schema, asks)
    filter_of = filter_reader(rpc.descriptor.input_type, schema, rpc.limits)
    statement = lru_cache(KEPT_VIEWS)(partial(_statement, schema.names))  # one for each way to ask, as for a List

    async def export(call: Call[Any]) -> Work[Iterator[Message]]:
        request = call.request
        only, given = filter_of(request)
        view, deleted = view_of(request), asks.show_deleted(request)
        token: str = request.page_token
        scope = scope_of(rpc.descriptor, request)
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        bound = names.bind(key) | given
        if token:
            (bound["after"],) = unpack(tokens.open(token, scope))

        def read(session: Session) -> Iterator[Message]:
            connection, waiting = session.connection, None
            for messages, last_id in read_batches(
                connection, view, statement(view, bool(token), below, only, deleted), bound
            ):
                if waiting is not None:
                    yield waiting
                waiting = response(**{items: messages, "next_page_token": tokens.seal(pack((last_id,)), scope)})
            if waiting is not None:
                # Only now it is known to be the last.
                waiting.ClearField("next_page_token")
                yield waiting
            elif below and not token and not schema.has_parent(connection, key, deleted=True):
                raise not_found(request.parent)

        return Work(read)

    return rpc.method(export, "export", reads=True)


def _statement(
    names: Names, view: View, after: bool, below: tuple[int, ...], only: Compiled | None, deleted: bool
) -> Select[Any]:
    """Return the statement of an export; of another one that it goes on with, if `after`."""
    found = select(*view.columns).order_by(names.id_column)
    if after:
        found = found.where(names.id_column > bindparam("after"))
    return found.where(*conditions(names, below, only, deleted=deleted))


EXPORT = Verb("Export", bind, plural=True, streams=True, serves=frozenset({FILTER, READ_MASK, SHOW_DELETED}))
