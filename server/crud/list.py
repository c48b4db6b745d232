"""List: a page of resources (AIP-132), found by where the page before it ended and not by counting rows."""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import bindparam, select

from server.crud.page import PageTokens, page_size
from server.crud.plan import Plan
from server.crud.resource import Serve
from server.database import Database


def prepare(plan: Plan, response: type[Message], items: str, tokens: PageTokens) -> Serve:
    """Return what serves List for a resource.

    Args:
        plan: The resource.
        response: The response's class.
        items: The field of the response that holds the page.
        tokens: Makes and reads page tokens.
    """
    key = plan.names.columns[-1]
    # One row more than the page holds says whether there is another page.
    first = select(*plan.columns).order_by(key).limit(bindparam("limit"))
    following = first.where(key > bindparam("after"))
    position = plan.columns.index(key)

    async def list_(database: Database, request: Any) -> Message:
        size = page_size(request.page_size)
        after = tokens.open(request)
        if after is None:
            rows = await database.fetch_all(first, {"limit": size + 1})
        else:
            rows = await database.fetch_all(following, {"limit": size + 1, "after": after[0]})
        page = {items: [plan.to_message(row) for row in rows[:size]]}
        if len(rows) > size:
            page["next_page_token"] = tokens.seal(request, [rows[size - 1][position]])  # type: ignore[assignment]
        return response(**page)

    return list_
