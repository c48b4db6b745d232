"""The `error_type` of an exception: what went wrong, in a bounded number of words."""

from asyncio import CancelledError

from sqlalchemy import exc


def error_type(error: BaseException) -> str:
    """Return the name by which failures of one kind are counted together.

    Returns:
        `cancelled`, `timeout` (also the pool's), the SQLSTATE, SQLite's error name, or the name of the
        exception's class.
    """
    if isinstance(error, CancelledError):
        return "cancelled"
    if isinstance(error, (TimeoutError, exc.TimeoutError)):
        return "timeout"
    return response_code(error) or type(error).__name__


def response_code(error: BaseException) -> str | None:
    """Return what the database itself calls an error, its SQLSTATE or SQLite's name; None if it is not its own."""
    # asyncpg's adapter and psycopg say `sqlstate`, psycopg2 `pgcode`, sqlite3 `sqlite_errorname`.
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, attribute, None)
        if isinstance(code, str) and code:
            return code
    return None


def outcome(error: BaseException | None) -> str:
    """Return how something ended that either failed or did not: `ok`, `error`, `cancelled` or `timeout`."""
    if error is None:
        return "ok"
    kind = error_type(error)
    return kind if kind in ("cancelled", "timeout") else "error"
