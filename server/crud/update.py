"""Update: the fields of a resource that a mask selects (AIP-134)."""

from typing import Any

import sqlalchemy
from google.protobuf.message import Message

from server.crud.mask import fields_to_write
from server.crud.plan import Plan
from server.crud.resource import Serve
from server.database import Database
from server.errors import not_found


def prepare(plan: Plan, body: str) -> Serve:
    """Return what serves Update for a resource.

    Args:
        plan: The resource.
        body: The field of the request that holds it.
    """
    write = sqlalchemy.update(plan.table).where(plan.has_name()).returning(*plan.columns)
    read = sqlalchemy.select(*plan.columns).where(plan.has_name())

    async def update(database: Database, request: Any) -> Message:
        message = getattr(request, body)
        parameters = plan.names.parse(message.name, f"{body}.name")
        fields = fields_to_write(plan, request.update_mask.paths, message)
        values = plan.values(message, fields, body)
        # Nothing to change is no change: update_time stays.
        row = await database.fetch_one(write if values else read, parameters | values)
        if row is None:
            raise not_found(message.name)
        return plan.to_message(row)

    return update
