"""The `error_type` of an exception: one of a bounded set of names."""

from asyncio import CancelledError

from sqlalchemy import exc

from ..internals import says_connection_is_lost

LOST = "connection_lost"
"""The `error_type` of a statement whose connection was gone, or went during it, if the server gave no SQLSTATE."""


def error_type(error: BaseException) -> str:
    """Return the name under which failures of this kind are counted.

    Returns:
        `cancelled`, `timeout` (also for a timeout of the pool), `connection_lost`, the SQLSTATE, SQLite's error
        name, or the name of the exception's class.
    """
    if isinstance(error, CancelledError):
        return "cancelled"
    if isinstance(error, (TimeoutError, exc.TimeoutError)):
        return "timeout"
    if says_connection_is_lost(error):
        return LOST
    return response_code(error) or type(error).__name__


def response_code(error: BaseException) -> str | None:
    """Return the database's own name of an error, an SQLSTATE or SQLite's name, None for other errors."""
    # asyncpg's adapter and psycopg have `sqlstate`, psycopg2 has `pgcode`, sqlite3 has `sqlite_errorname`.
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, attribute, None)
        if isinstance(code, str) and code:
            return code
    return None


def outcome(error: BaseException | None) -> str:
    """Return how an operation ended, given its error or None: `ok`, `error`, `cancelled` or `timeout`."""
    if error is None:
        return "ok"
    kind = error_type(error)
    return kind if kind in ("cancelled", "timeout") else "error"
