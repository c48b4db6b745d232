"""Get and Update of a singleton (AIP-156): it exists with its parent, also before anything was written to it."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.schema import Plan
from tablestakes.crud.schema.reference import explain
from tablestakes.crud.resource import Serve
from tablestakes.crud.verb.mask import fields_to_write
from tablestakes.database import Database, FaultKind, diagnose
from tablestakes.errors import not_found


def prepare_get(plan: Plan) -> Serve:
    """Return what serves Get for a singleton."""
    statement = _reading(plan)

    async def get(database: Database, request: Any) -> Message:
        parameters = plan.names.parse(request.name, "name")

        def read(connection: Connection) -> Message:
            row = connection.execute(statement, parameters).first()
            if row is None:
                raise not_found(request.name)
            return plan.full.message(connection, row)

        return await database.run(read)

    return get


def prepare_update(plan: Plan, body: str) -> Serve:
    """Return what serves Update for a singleton; the first one makes its row."""
    change = sqlalchemy.update(plan.table).where(plan.has_name()).returning(*plan.full.columns)
    read = _reading(plan)
    paths = {field.column.name: f"{body}.{field.name}" for field in plan.fields.values()}

    async def update(database: Database, request: Any) -> Message:
        message = getattr(request, body)
        parameters = plan.names.parse(message.name, f"{body}.name")
        parts = fields_to_write(plan, request.update_mask.paths, message)
        values = await plan.values(message, parts, body)

        def write(connection: Connection) -> Message:
            row = connection.execute(change if values else read, parameters | values).first()
            if row is None and values:
                add = adding(plan.table, values).returning(*plan.full.columns)
                row = connection.execute(add, parameters).first()
            if row is None:
                raise not_found(message.name)
            return plan.full.message(connection, row)

        try:
            return await database.run(write)
        except IntegrityError as error:
            if told := await explain(database, plan.table, values, paths, error, ""):
                raise told from error
            fault = diagnose(error)
            if fault is None or fault.kind is not FaultKind.DUPLICATE:
                raise
            # Another call made the row in between: now it is there to be changed.
            return await database.run(write)

    return update


def adding(table: Table, values: Mapping[str, Any]) -> Insert:
    """Return the statement that makes a singleton's row, as old as its parent; it makes none without a parent.

    Args:
        table: The singleton's table.
        values: What its columns are to hold; the others take their defaults. The key comes as `key_<column>`.
    """
    key, parent = _keys(table)
    given: dict[str, ColumnElement[Any]] = {key.name: parent}
    for column in table.columns:
        default: Any = column.default
        changing: Any = column.onupdate
        if column.name in values:
            given[column.name] = literal(values[column.name], column.type)
        elif column.name == "create_time":
            given[column.name] = parent.table.c.create_time
        elif changing is not None:
            given[column.name] = literal(changing.arg(None), column.type)
        elif default is not None and default.is_scalar:
            given[column.name] = literal(default.arg, column.type)
    found = select(*given.values()).where(parent == bindparam(f"key_{key.name}"))
    return insert(table).from_select(list(given), found, include_defaults=False)


def _keys(table: Table) -> tuple[Column[Any], Column[Any]]:
    """Return a singleton's key, and its parent's."""
    (key,) = table.primary_key.columns
    (foreign_key,) = key.foreign_keys
    return key, foreign_key.column


def _reading(plan: Plan) -> Select[Any]:
    """Return the statement that reads a singleton beside its parent, which may be there without it."""
    key, parent = _keys(plan.table)
    columns = [_or_default(column, parent) for column in plan.full.columns]
    joined = parent.table.outerjoin(plan.table, key == parent)
    return select(*columns).select_from(joined).where(parent == bindparam(f"key_{key.name}"))


def _or_default(column: Column[Any], parent: Column[Any]) -> ColumnElement[Any]:
    if column.foreign_keys and column.primary_key:
        return parent
    if column.name in ("create_time", "update_time"):
        # It has been there for as long as its parent.
        return func.coalesce(column, parent.table.c.create_time)
    default: Any = column.default
    if default is not None and default.is_scalar:
        return func.coalesce(column, literal(default.arg, column.type))
    return column
