"""Get: one resource by its name (AIP-131)."""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import select

from server.crud.plan import Plan
from server.crud.resource import Serve
from server.database import Database
from server.errors import not_found


def prepare(plan: Plan) -> Serve:
    """Return what serves Get for a resource."""
    statement = select(*plan.columns).where(plan.has_name())

    async def get(database: Database, request: Any) -> Message:
        row = await database.fetch_one(statement, plan.names.parse(request.name, "name"))
        if row is None:
            raise not_found(request.name)
        return plan.to_message(row)

    return get
