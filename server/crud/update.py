"""Update: the fields of a resource that a mask selects (AIP-134)."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from sqlalchemy import Row

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
        if any(field.immutable for field in fields):
            # What never changes can be read first: nobody changes it in between.
            row = await database.fetch_one(read, parameters)
            _require_unchanged(plan, row, message, fields, body)
            fields = tuple(field for field in fields if not field.immutable)
        values = plan.values(message, fields, body)
        # Nothing to change is no change: update_time stays.
        row = await database.fetch_one(write if values else read, parameters | values)
        if row is None:
            raise not_found(message.name)
        return plan.to_message(row)

    return update


def _require_unchanged(
    plan: Plan, row: Row[Any] | None, message: Message, fields: Iterable[Field], body: str
) -> None:
    """Refuse a new value of an IMMUTABLE field, and accept the value that it has (AIP-203)."""
    if row is None:
        raise not_found(message.name)  # type: ignore[attr-defined]
    stored = plan.to_message(row)
    changed = [
        FieldViolation(f"{body}.{field.name}", "cannot be changed.", "IMMUTABLE_FIELD")
        for field in fields
        if field.immutable and getattr(stored, field.name) != getattr(message, field.name)
    ]
    if changed:
        raise invalid_fields(*changed)
