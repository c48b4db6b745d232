"""Explaining a violated constraint by the fields of the request that violate it."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from grpc import StatusCode
from sqlalchemy import Column, Connection, Select, or_, select
from sqlalchemy.exc import IntegrityError

from tablestakes.columns import DELETE_TIME
from tablestakes.crud.call import Call
from tablestakes.crud.key import Key
from tablestakes.crud.method import Method
from tablestakes.crud.schema.deletion import DanglingError, live
from tablestakes.crud.schema.reference import existing
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.verb.batch import before, together, within
from tablestakes.crud.work import Work
from tablestakes.database import Database, Fault, FaultKind, diagnose
from tablestakes.errors import (
    FieldViolation,
    StatusError,
    changed,
    has_children,
    in_use,
    invalid_fields,
    not_found,
)

Refusal: TypeAlias = IntegrityError | DanglingError | StatusError
"""The ways in which a database, the engine or a resource refuse a write."""


async def refused(
    method: Method,
    call: Call[Any],
    work: Work[Any],
    error: IntegrityError | DanglingError,
    database: Database,
) -> StatusError | None:
    """Return the status of a write that a constraint refused, or None where the request does not explain it.

    It is ABORTED where the constraint would not be violated any more: the write may be done again.

    Args:
        method: The method.
        call: The call.
        work: The work that was refused.
        error: The database's error, or the engine's own of a reference that no foreign key refuses.
        database: The database that refused it.
    """
    if method.item is not None:
        return await _of_items(method.item, call, work, database)
    return await _alone(method, call.request, work, error, database)


async def _alone(
    method: Method, request: Any, work: Work[Any], error: IntegrityError | DanglingError, database: Database
) -> StatusError | None:
    dangling = isinstance(error, DanglingError)
    fault = Fault(FaultKind.REFERENCE, table=method.schema.table.name) if dangling else diagnose(error)
    if fault is None:
        return None
    if fault.kind is FaultKind.REFERENCE:
        return await _reference(method, request, work, fault, database)
    if fault.table and fault.table != method.schema.table.name:
        return None
    columns = fault.columns or method.schema.columns_of(fault.constraint or "")
    if fault.kind is FaultKind.DUPLICATE:
        return await _duplicate(method, work, tuple(columns), database)
    paths = [method.paths[column] for column in columns if column in method.paths]
    if not paths:
        return None
    return _violated(fault, paths)


async def _of_items(item: Method, call: Call[Any], work: Work[Any], database: Database) -> StatusError | None:
    """Explain a refused batch: do the work of each item by itself, one after the other, and undo it all.

    The database has named one row of many by its values, and some constraints not at all. This names every item,
    those among them that are in the way of each other.
    """

    def try_each(connection: Connection) -> dict[int, Refusal]:
        found: dict[int, Refusal] = {}
        for index, (_, alone) in enumerate(work.items):
            point = connection.begin_nested()
            try:
                alone.apply(Session(connection, call.caller))
            except (IntegrityError, DanglingError, StatusError) as error:
                point.rollback()
                found[index] = error
            else:
                point.commit()
        return found

    faults: dict[int, StatusError] = {}
    for index, error in (await database.rehearse(try_each)).items():
        request, alone = work.items[index]
        if isinstance(error, StatusError):
            faults[index] = within(before(index), error)
        elif (explained := await _alone(item, request, alone, error, database)) is None:
            return None
        else:
            faults[index] = within(before(index), explained)
    return together(faults) if faults else changed()


def _violated(fault: Fault, paths: list[str]) -> StatusError | None:
    match fault.kind:
        case FaultKind.NOT_NULL:
            return invalid_fields(*_violations(paths, "must be set.", "REQUIRED_FIELD"))
        case FaultKind.CHECK:
            return invalid_fields(*_violations(paths, "has a value that is not allowed.", "VALUE_NOT_ALLOWED"))
    return None


def _violations(paths: Iterable[str], description: str, reason: str) -> tuple[FieldViolation, ...]:
    return tuple(FieldViolation(path, description, reason) for path in paths)


async def _duplicate(
    method: Method, work: Work[Any], named: tuple[str, ...], database: Database
) -> StatusError | None:
    """Explain a violated unique constraint, and with it each other one that would be violated as well.

    A database names the first that it comes to, and which one that is differs between databases.

    Args:
        method: The method.
        work: The work that was refused.
        named: The columns of the constraint that the database named.
        database: The database.
    """
    unique = (*method.schema.unique, *method.schema.unique_among_live)
    others = [each for each in unique if each != named and any(name in method.paths for name in each)]
    looks = {columns: look for columns in others if (look := _taken(method.schema, work, columns)) is not None}
    taken = {named}
    if looks:
        # A statement each, so that each has a table that its metrics can name.
        taken |= await database.run(
            lambda connection: {columns for columns, look in looks.items() if connection.execute(look).first()}
        )
    # In the order of the fields, on every database.
    order = list(method.paths)
    groups = [[path for column, path in method.paths.items() if column in columns] for columns in taken]
    groups = sorted(filter(None, groups), key=lambda paths: order.index(_column_of(method, paths[0])))
    if not groups:
        return None
    together = [" and ".join(paths) for paths in groups]
    subject = "Another resource has" if len(groups) == 1 else "Other resources have"
    return StatusError(
        StatusCode.ALREADY_EXISTS,
        "ALREADY_EXISTS",
        f"{subject} the same {', and the same '.join(together)}.",
        metadata={"field": ", ".join(together)},
        violations=_violations(
            dict.fromkeys(path for paths in groups for path in paths),
            "is taken by another resource.",
            "ALREADY_EXISTS",
        ),
    )


def _column_of(method: Method, path: str) -> str:
    return next(column for column, each in method.paths.items() if each == path)


def _taken(schema: Schema, work: Work[Any], columns: tuple[str, ...]) -> Select[Any] | None:
    """Return the statement that finds another row with the values that were to be written; None where none was.

    A value that was not to be written is the one that the row has already.
    """
    among_live = columns in schema.unique_among_live
    # A row that is restored has its values again.
    if not any(name in work.writes for name in (*columns, *((DELETE_TIME,) if among_live else ()))):
        return None
    if work.key is None and not all(name in work.writes for name in columns):
        return None
    own = tuple(zip(schema.names.columns, work.key or (), strict=False))
    other = schema.table.alias()
    conditions = live(other) if among_live else []
    for name in columns:
        kept = select(schema.table.c[name]).where(*(column == id_ for column, id_ in own)).scalar_subquery()
        conditions.append(other.c[name] == work.writes.get(name, kept))
    if own:
        conditions.append(or_(*(other.c[column.name] != id_ for column, id_ in own)))
    return select(1).select_from(other).where(*conditions).limit(1)


async def _reference(
    method: Method, request: Any, work: Work[Any], fault: Fault, database: Database
) -> StatusError | None:
    """Explain a violated foreign key: a row that is referred to is missing, or others refer to the row.

    PostgreSQL names the constraint and SQLite does not, so either database is asked which row is missing.
    """
    schema, written = method.schema, work.writes
    referring = [
        column for column in schema.table.columns if column.foreign_keys and written.get(column.name) is not None
    ]

    names = schema.names
    parent = () if names.singleton else tuple(written.get(column.name) for column in names.columns[:-1])

    def look(connection: Connection) -> tuple[list[Column[Any]], bool]:
        if parent and None not in parent and not schema.has_parent(connection, parent):
            return [names.columns[0]], False
        absent = [column for column in referring if not existing(connection, column, [written[column.name]])]
        children = not absent and work.key is not None and _has_descendants(connection, schema, work.key)
        return absent, children

    absent, children = await database.run(look, reads=True)
    if any(column in schema.names.columns for column in absent):
        return not_found(method.required_name(request))
    if paths := [method.paths[column.name] for column in absent if column.name in method.paths]:
        return invalid_fields(
            *_violations(paths, "refers to a resource that does not exist.", "REFERENCE_NOT_FOUND")
        )
    if referring and not absent and fault.table == schema.table.name:
        # The row that the database missed was made again before it was looked for.
        return changed()
    if absent or work.key is None:
        return None
    name = schema.names.format(work.key)
    return has_children(name) if children and not method.asks.force(request) else in_use(name)


def _has_descendants(connection: Connection, schema: Schema, key: Key) -> bool:
    depth, parameters = len(schema.names.columns), schema.names.bind(key)
    statements: Sequence[Any] = [
        select(1).select_from(each.table).where(each.names.below(depth)).limit(1) for each in schema.descendants
    ]
    return any(connection.execute(statement, parameters).first() for statement in statements)
