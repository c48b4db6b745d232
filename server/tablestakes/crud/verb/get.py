"""Get: one resource by its name (AIP-131)."""

from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import Connection, select

from tablestakes.crud.schema import Plan
from tablestakes.crud.schema.view import wants_basic
from tablestakes.crud.resource import Serve
from tablestakes.database import Database
from tablestakes.errors import not_found


def prepare(plan: Plan, request: Descriptor) -> Serve:
    """Return what serves Get for a resource."""
    basic = wants_basic(request, by_default=False)
    statements = {view: select(*view.columns).where(plan.has_name()) for view in (plan.full, plan.basic)}

    async def get(database: Database, request: Any) -> Message:
        view = plan.basic if basic(request) else plan.full
        parameters = plan.names.parse(request.name, "name")

        def read(connection: Connection) -> Message:
            row = connection.execute(statements[view], parameters).first()
            if row is None:
                raise not_found(request.name)
            return view.message(connection, row)

        return await database.run(read)

    return get
