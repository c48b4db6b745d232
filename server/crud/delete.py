"""Delete: one resource, for good (AIP-135)."""

from typing import Any

import sqlalchemy
from google.protobuf.empty_pb2 import Empty

from server.crud.plan import Plan
from server.crud.resource import Serve
from server.database import Database
from server.errors import not_found


def prepare(plan: Plan) -> Serve:
    """Return what serves Delete for a resource."""
    # RETURNING, for it says whether there was a row in the same round trip.
    statement = sqlalchemy.delete(plan.table).where(plan.has_name()).returning(plan.names.columns[-1])

    async def delete(database: Database, request: Any) -> Empty:
        if await database.fetch_one(statement, plan.names.parse(request.name, "name")) is None:
            raise not_found(request.name)
        return Empty()

    return delete
