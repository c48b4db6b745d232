"""Create: a new resource (AIP-133)."""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import insert

from server.crud.plan import Plan
from server.crud.resource import Serve
from server.database import Database


def prepare(plan: Plan, body: str) -> Serve:
    """Return what serves Create for a resource.

    Args:
        plan: The resource.
        body: The field of the request that holds it.
    """
    statement = insert(plan.table).returning(*plan.columns)
    writable = tuple(field for field in plan.fields.values() if field.writable)

    async def create(database: Database, request: Any) -> Message:
        message = getattr(request, body)
        # What is not set is left to the column's default.
        given = (field for field in writable if not field.optional or field.is_set(message))
        (row,) = await database.fetch_all(statement, plan.values(message, given, body))
        return plan.to_message(row)

    return create
