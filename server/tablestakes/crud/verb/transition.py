"""A method that changes a resource's state from some to one, and says so when it may not (AIP-216)."""

from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import Connection, bindparam, select

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema import Plan
from tablestakes.crud.resource import Serve, Transition
from tablestakes.crud.verb.update import touched
from tablestakes.database import Database
from tablestakes.errors import StatusError, not_found


def prepare(plan: Plan, transition: Transition) -> Serve:
    """Return what serves a transition of a resource.

    Raises:
        DeclarationError: The resource has no field `state`, or none of the field that tells when.
    """
    for name in ("state", transition.stamp or "state"):
        if name not in plan.fields:
            raise DeclarationError(f"{plan.descriptor.full_name} has no field {name}; {likely(name, plan.fields)}")
    state = plan.fields["state"].column
    change = (
        sqlalchemy.update(plan.table)
        .where(plan.has_name(), state.in_(bindparam("sources", expanding=True)))
        .returning(*plan.full.columns)
    )
    read = select(state).where(plan.has_name())

    async def transit(database: Database, request: Any) -> Message:
        parameters = plan.names.parse(request.name, "name")
        values = touched(plan) | {state.name: transition.target}
        if transition.stamp:
            values[plan.fields[transition.stamp].column.name] = values["update_time"]

        def write(connection: Connection) -> Message:
            while True:
                row = connection.execute(
                    change.values(values), parameters | {"sources": transition.sources}
                ).first()
                if row is not None:
                    return plan.full.message(connection, row)
                found = connection.execute(read, parameters).first()
                if found is None:
                    raise not_found(request.name)
                if found[0] not in transition.sources:
                    raise wrong_state(request.name, found[0], transition.target)
                # Another call brought it into a state that it may come from, in between.

        return await database.run(write)

    return transit


def wrong_state(name: str, found: str, target: str) -> StatusError:
    """Return FAILED_PRECONDITION for a resource that cannot come from the state it is in to another."""
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "STATE_NOT_ALLOWED",
        f"{name} is {found} and cannot become {target}.",
        metadata={"resource": name, "state": found, "target": target},
    )
