"""List: a page of resources (AIP-132), found by where the page before it ended and not by counting rows."""

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import Connection, Select, bindparam, select

from tablestakes.crud.schema import Plan
from tablestakes.crud.schema.reference import exists
from tablestakes.crud.schema.view import View, wants_basic
from tablestakes.crud.resource import Serve
from tablestakes.crud.verb.page import PageTokens, page_size
from tablestakes.database import Database
from tablestakes.errors import not_found


def prepare(plan: Plan, request: Descriptor, response: type[Message], items: str, tokens: PageTokens) -> Serve:
    """Return what serves List for a resource, below a parent where its names have one.

    Args:
        plan: The resource.
        request: The request's message.
        response: The response's class.
        items: The field of the response that holds the page.
        tokens: Makes and reads page tokens.
    """
    key = plan.names.columns[-1]
    position = plan.full.keys - 1
    parent = plan.names.parent
    basic = wants_basic(request, by_default=True)

    @cache  # one for each way to ask: by view, with or without a token, across which parents
    def statement(view: View, after: bool, given: frozenset[str]) -> Select[Any]:
        # One row more than the page holds says whether there is another page.
        found = select(*view.columns).order_by(key).limit(bindparam("limit"))
        if after:
            found = found.where(key > bindparam("after"))
        for column in parent.columns if parent else ():
            if f"key_{column.name}" in given:
                found = found.where(column == bindparam(f"key_{column.name}"))
        return found

    async def list_(database: Database, request: Any) -> Message:
        size = page_size(request.page_size)
        after = tokens.open(request)
        view = plan.basic if basic(request) else plan.full
        parameters = parent.parse(request.parent, "parent", wildcard=True) if parent else {}
        wanted = statement(view, after is not None, frozenset(parameters))
        bound = parameters | {"limit": size + 1} | ({"after": after[0]} if after else {})

        def read(connection: Connection) -> Message:
            rows = connection.execute(wanted, bound).all()
            if parent and not rows and after is None:
                _require_parent(connection, plan, request.parent, parameters)
            values: dict[str, Any] = {items: view.messages(connection, rows[:size])}
            if len(rows) > size:
                values["next_page_token"] = tokens.seal(request, [rows[size - 1][position]])
            return response(**values)

        return await database.run(read)

    return list_


def _require_parent(connection: Connection, plan: Plan, name: str, parameters: dict[str, Any]) -> None:
    """Tell a parent without children from no parent at all."""
    for column in plan.names.columns[:-1]:
        given = parameters.get(f"key_{column.name}")
        if given is not None and not exists(connection, column, [given]):
            raise not_found(name)
