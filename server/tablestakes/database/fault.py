"""Errors of the database, named alike for every database and every driver.

By SQLSTATE on PostgreSQL (its Appendix A) and by extended result code on SQLite (sqlite.org/rescode.html).
SQLite tells the columns of a violated constraint in its message alone, so there, and only there, text is read.
"""

import enum
import re
import sqlite3
from dataclasses import dataclass

import asyncpg
import sqlalchemy.exc


class FaultKind(enum.Enum):
    """The kinds of fault that are answered differently."""

    DUPLICATE = enum.auto()  # a unique constraint
    REFERENCE = enum.auto()  # a foreign key
    CHECK = enum.auto()
    NOT_NULL = enum.auto()
    VALUE = enum.auto()  # a value that its column cannot hold
    CONFLICT = enum.auto()  # a deadlock, a serialization failure, a lock not had in time: it was undone
    UNDETERMINED = enum.auto()  # it is not known whether the statement took effect: it must not be repeated
    STALE = enum.auto()  # a prepared statement from before the schema changed; it did not run
    TIMEOUT = enum.auto()
    BUSY = enum.auto()  # no connection was free in time
    FULL = enum.auto()  # no disk or memory left
    UNAVAILABLE = enum.auto()  # no database to talk to
    UNKNOWN = enum.auto()


@dataclass(frozen=True)
class Fault:
    """A fault, and the place of it that the database tells.

    Attributes:
        kind: The kind.
        constraint: The name of the violated constraint or unique index, where the database tells it.
        columns: The columns at fault, where it tells those.
        code: The SQLSTATE, or SQLite's name of the error, where there is one.
        table: The table at fault, where it tells that.
    """

    kind: FaultKind
    constraint: str | None = None
    columns: tuple[str, ...] = ()
    code: str = ""
    table: str = ""


# Exact states first, then their class, which is the first two characters.
SQLSTATES = {
    "23505": FaultKind.DUPLICATE,
    "23503": FaultKind.REFERENCE,
    "23001": FaultKind.REFERENCE,
    "23514": FaultKind.CHECK,
    "23502": FaultKind.NOT_NULL,
    "22": FaultKind.VALUE,
    "40": FaultKind.CONFLICT,
    "40003": FaultKind.UNDETERMINED,
    "55P03": FaultKind.CONFLICT,
    "0A000": FaultKind.STALE,
    "57014": FaultKind.TIMEOUT,
    "08": FaultKind.UNAVAILABLE,
    "57P": FaultKind.UNAVAILABLE,
    "25006": FaultKind.UNAVAILABLE,
    "53300": FaultKind.BUSY,
    "53": FaultKind.FULL,
    # The role or the database of the URL is not there, or may not log in.
    "28": FaultKind.UNAVAILABLE,
    "3D": FaultKind.UNAVAILABLE,
}

SQLITE_ERRORS = {
    "SQLITE_CONSTRAINT_UNIQUE": FaultKind.DUPLICATE,
    "SQLITE_CONSTRAINT_PRIMARYKEY": FaultKind.DUPLICATE,
    "SQLITE_CONSTRAINT_ROWID": FaultKind.DUPLICATE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": FaultKind.REFERENCE,
    "SQLITE_CONSTRAINT_TRIGGER": FaultKind.REFERENCE,
    "SQLITE_CONSTRAINT_CHECK": FaultKind.CHECK,
    "SQLITE_CONSTRAINT_NOTNULL": FaultKind.NOT_NULL,
    "SQLITE_TOOBIG": FaultKind.VALUE,
    "SQLITE_MISMATCH": FaultKind.VALUE,
    "SQLITE_BUSY": FaultKind.CONFLICT,
    "SQLITE_LOCKED": FaultKind.CONFLICT,
    "SQLITE_FULL": FaultKind.FULL,
    "SQLITE_NOMEM": FaultKind.FULL,
    "SQLITE_CANTOPEN": FaultKind.UNAVAILABLE,
    "SQLITE_IOERR": FaultKind.UNAVAILABLE,
    "SQLITE_READONLY": FaultKind.UNAVAILABLE,
}

_SQLITE_MESSAGE = re.compile(r"(UNIQUE|NOT NULL|CHECK) constraint failed: (?P<culprit>.+)")


def diagnose(error: BaseException) -> Fault | None:
    """Return what an exception of the database says, or None where it is not one of a database.

    Args:
        error: Anything that a statement, a transaction or a connect raised.
    """
    match error:
        case sqlalchemy.exc.TimeoutError():  # of the pool: PostgreSQL's and the driver's have other types
            return Fault(FaultKind.BUSY)
        case sqlalchemy.exc.DBAPIError(orig=BaseException() as original):
            return _of_driver(original, disconnected=error.connection_invalidated)
        case sqlalchemy.exc.SQLAlchemyError():
            return Fault(FaultKind.UNKNOWN)
        case TimeoutError():  # asyncpg's, for a command or a connect
            return Fault(FaultKind.TIMEOUT)
        # From a server-side cursor the driver's exceptions come as they are.
        case OSError() | asyncpg.PostgresError() | asyncpg.TargetServerAttributeNotMatched() | sqlite3.Error():
            return _of_driver(error, disconnected=False)
    return None


def _of_driver(original: BaseException, *, disconnected: bool) -> Fault:
    # SQLAlchemy wraps the driver's exception in one of its own, and keeps the driver's as the cause.
    cause = original.__cause__ or original
    if isinstance(state := getattr(cause, "sqlstate", None), str):
        kind = next((SQLSTATES[key] for key in (state, state[:3], state[:2]) if key in SQLSTATES), None)
        column = getattr(cause, "column_name", None)
        return Fault(
            kind or (FaultKind.UNAVAILABLE if disconnected else FaultKind.UNKNOWN),
            getattr(cause, "constraint_name", None),
            (column,) if column else (),
            state,
            getattr(cause, "table_name", None) or "",
        )
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    if isinstance(cause, TimeoutError):
        return Fault(FaultKind.TIMEOUT)
    # No host of the URL can be written to, for one, in the middle of a failover.
    unavailable = disconnected or isinstance(cause, (OSError, asyncpg.TargetServerAttributeNotMatched))
    return Fault(FaultKind.UNAVAILABLE if unavailable else FaultKind.UNKNOWN)


def _of_sqlite(error: sqlite3.Error) -> Fault:
    name = getattr(error, "sqlite_errorname", "")
    # SQLITE_IOERR_WRITE is an SQLITE_IOERR, SQLITE_BUSY_SNAPSHOT an SQLITE_BUSY.
    family = "_".join(name.split("_")[:2])
    kind = SQLITE_ERRORS.get(name) or SQLITE_ERRORS.get(family, FaultKind.UNKNOWN)
    found = _SQLITE_MESSAGE.fullmatch(str(error))
    if found is None:
        return Fault(kind, code=name)
    culprit = found["culprit"]
    if kind is FaultKind.CHECK:
        return Fault(kind, constraint=culprit, code=name)
    if culprit.startswith("index "):  # a unique index on expressions has a name and no columns
        return Fault(kind, constraint=culprit.removeprefix("index ").strip("'"), code=name)
    columns = culprit.split(", ")
    return Fault(
        kind,
        columns=tuple(column.rpartition(".")[2] for column in columns),
        code=name,
        table=columns[0].rpartition(".")[0],
    )
