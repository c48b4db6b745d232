"""Update: the fields of a resource that a mask selects (AIP-134)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from sqlalchemy import bindparam

from server.crud.mask import fields_to_write
from server.crud.plan import Field, Plan
from server.crud.resource import Serve
from server.database import Database
from server.errors import FieldViolation, invalid_fields, not_found


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
        if fixed := [field for field in fields if field.immutable]:
            # What never changes can be asked first: nobody changes it in between.
            await _require_unchanged(plan, database, message, fixed, body)
            fields = tuple(field for field in fields if not field.immutable)
        values = plan.values(message, fields, body)
        # Nothing to change is no change: update_time stays.
        row = await database.fetch_one(write if values else read, parameters | values)
        if row is None:
            raise not_found(message.name)
        return plan.to_message(row)

    return update


async def _require_unchanged(
    plan: Plan, database: Database, message: Any, fields: Sequence[Field], body: str
) -> None:
    """Refuse a new value of an IMMUTABLE field, and accept the value that it has (AIP-203).

    The database compares, for it knows what a value becomes once it is kept.
    """
    values = plan.values(message, fields, body)
    same = [
        field.column.is_not_distinct_from(bindparam(f"sent_{field.column.name}", type_=field.column.type))
        for field in fields
    ]
    parameters = plan.names.parse(message.name, f"{body}.name")
    parameters |= {f"sent_{column}": value for column, value in values.items()}
    row = await database.fetch_one(sqlalchemy.select(*same).where(plan.has_name()), parameters)
    if row is None:
        raise not_found(message.name)
    changed = [field for field, unchanged in zip(fields, row, strict=True) if not unchanged]
    if changed:
        raise invalid_fields(
            *(FieldViolation(f"{body}.{field.name}", "cannot be changed.", "IMMUTABLE_FIELD") for field in changed)
        )
