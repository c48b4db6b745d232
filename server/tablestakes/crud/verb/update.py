"""Update: the fields of a resource that a mask selects (AIP-134)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from sqlalchemy import Connection, bindparam
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.schema import Plan
from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.reference import explain
from tablestakes.crud.resource import Serve
from tablestakes.crud.verb.mask import fields_to_write
from tablestakes.database import Database
from tablestakes.errors import FieldViolation, invalid_fields, not_found


def prepare(plan: Plan, body: str) -> Serve:
    """Return what serves Update for a resource.

    Args:
        plan: The resource.
        body: The field of the request that holds it.
    """
    change = sqlalchemy.update(plan.table).where(plan.has_name()).returning(*plan.full.columns)
    read = sqlalchemy.select(*plan.full.columns).where(plan.has_name())
    paths = {field.column.name: f"{body}.{field.name}" for field in plan.fields.values()}

    async def update(database: Database, request: Any) -> Message:
        message = getattr(request, body)
        parameters = plan.names.parse(message.name, f"{body}.name")
        parts = fields_to_write(plan, request.update_mask.paths, message)
        if fixed := [part for part in parts if part.immutable]:
            # What never changes can be asked first: nobody changes it in between.
            await require_unchanged(plan, database, message, fixed, body)
        parts = tuple(part for part in parts if not part.immutable)
        values = await plan.values(message, parts, body)
        lists = [part for part in parts if isinstance(part, Collection)]
        if lists and not values:
            values = touched(plan)

        def write(connection: Connection) -> Message:
            # Nothing to change is no change: update_time stays.
            row = connection.execute(change if values else read, parameters | values).first()
            if row is None:
                raise not_found(message.name)
            for part in lists:
                part.write(connection, row[plan.full.keys - 1], message, body)
            return plan.full.message(connection, row)

        try:
            return await (database.transact(write) if lists else database.run(write))
        except IntegrityError as error:
            told = await explain(database, plan.table, values, paths, error, "")
            if told is None:
                raise
            raise told from error

    return update


def touched(plan: Plan) -> dict[str, Any]:
    """Return the values of the columns that change with every change of a row, such as update_time."""
    changing: list[Any] = [column for column in plan.table.columns if column.onupdate is not None]
    return {column.name: column.onupdate.arg(None) for column in changing}


async def require_unchanged(
    plan: Plan, database: Database, message: Any, parts: Sequence[Field | Collection], body: str
) -> None:
    """Refuse a new value of an IMMUTABLE field, and accept the value that it has (AIP-203).

    The database compares, for it knows what a value becomes once it is kept.
    """
    fields = [part for part in parts if isinstance(part, Field)]
    values = await plan.values(message, fields, body)
    same = [
        field.column.is_not_distinct_from(bindparam(f"sent_{field.column.name}", type_=field.column.type))
        for field in fields
    ]
    parameters = plan.names.parse(message.name, f"{body}.name")
    parameters |= {f"sent_{column}": value for column, value in values.items()}
    statement = sqlalchemy.select(*same).where(plan.has_name())
    row = await database.run(lambda connection: connection.execute(statement, parameters).first())
    if row is None:
        raise not_found(message.name)
    changed = [field for field, unchanged in zip(fields, row, strict=True) if not unchanged]
    if changed:
        raise invalid_fields(
            *(FieldViolation(f"{body}.{field.name}", "cannot be changed.", "IMMUTABLE_FIELD") for field in changed)
        )
