"""Delete: one resource, for good (AIP-135), and with `force` what is below it."""

from typing import Any

import sqlalchemy
from google.protobuf.empty_pb2 import Empty
from grpc import StatusCode
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.schema import Plan
from tablestakes.crud.resource import Serve
from tablestakes.database import Database, FaultKind, diagnose
from tablestakes.errors import StatusError, not_found


def prepare(plan: Plan, *, forcible: bool) -> Serve:
    """Return what serves Delete for a resource.

    Args:
        plan: The resource.
        forcible: Whether the request has a field `force`.
    """
    key = plan.names.columns[-1]
    # RETURNING, for it says whether there was a row in the same round trip.
    statement = sqlalchemy.delete(plan.table).where(plan.has_name()).returning(key)
    below = [
        (child, child.names.columns[-2] == bindparam(f"key_{key.name}", type_=key.type)) for child in plan.children
    ]

    async def delete(database: Database, request: Any) -> Empty:
        parameters = plan.names.parse(request.name, "name")
        force = forcible and request.force

        def write(connection: Connection) -> Empty:
            for child, condition in below if force else ():
                connection.execute(sqlalchemy.delete(child.table).where(condition), parameters)
            if connection.execute(statement, parameters).first() is None:
                raise not_found(request.name)
            return Empty()

        def children(connection: Connection) -> list[str]:
            found = (child for child, of in below if connection.execute(select(1).where(of), parameters).first())
            return [child.table.name for child in found]

        try:
            return await (database.transact(write) if force else database.run(write))
        except IntegrityError as error:
            fault = diagnose(error)
            if fault is None or fault.kind is not FaultKind.REFERENCE:
                raise
            held = await database.run(children) if not force else []
            raise _in_use(request.name, children=bool(held)) from error

    return delete


def _in_use(name: str, *, children: bool) -> StatusError:
    if children:
        return StatusError(
            StatusCode.FAILED_PRECONDITION,
            "HAS_CHILDREN",
            f"{name} has resources below it; `force` deletes them too.",
            metadata={"resource": name},
        )
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "RESOURCE_IN_USE",
        f"Other resources refer to {name}.",
        metadata={"resource": name},
    )
