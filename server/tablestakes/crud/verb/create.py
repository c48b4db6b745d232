"""Create: a new resource (AIP-133), below a parent and under a chosen id where its request has them."""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.schema import Plan
from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.reference import explain
from tablestakes.crud.resource import Serve
from tablestakes.database import Database
from tablestakes.errors import invalid_field


def prepare(plan: Plan, body: str, chosen_id: str | None) -> Serve:
    """Return what serves Create for a resource.

    Args:
        plan: The resource.
        body: The field of the request that holds it.
        chosen_id: The field of the request that holds the id, None where the server chooses.
    """
    statement = insert(plan.table).returning(*plan.full.columns)
    parts = [part for part in plan.parts if part.writable]
    parent = plan.names.parent
    paths = {part.column.name: f"{body}.{part.name}" for part in parts if isinstance(part, Field)}

    async def create(database: Database, request: Any) -> Message:
        message = getattr(request, body)
        parents = parent.parse(request.parent, "parent") if parent else {}
        # What is not set is left to the column's default.
        given = [
            part for part in parts if isinstance(part, Collection) or not part.optional or part.is_set(message)
        ]
        values = await plan.values(message, given, body)
        values |= {name.removeprefix("key_"): value for name, value in parents.items()}
        if chosen_id:
            values[plan.names.columns[-1].name] = _usable(plan, getattr(request, chosen_id), chosen_id)
        lists = [part for part in given if isinstance(part, Collection) and part.is_set(message)]

        def write(connection: Connection) -> Message:
            row = connection.execute(statement, values).one()
            for part in lists:
                part.write(connection, row[plan.full.keys - 1], message, body)
            return plan.full.message(connection, row) if lists else plan.full.to_message(row)

        try:
            return await (database.transact(write) if lists else database.run(write))
        except IntegrityError as error:
            told = await explain(database, plan.table, values, paths, error, request.parent if parent else "")
            if told is None:
                raise
            raise told from error

    return create


def _usable(plan: Plan, chosen: str, path: str) -> str:
    """Return a chosen id, as long as a name can be made of it and read again."""
    name = plan.names.format(("x",) * (len(plan.names.columns) - 1) + (chosen,))
    if not plan.names.matches(name):
        raise invalid_field(path, "must have neither a slash nor a space.", "INVALID_ID")
    return chosen
