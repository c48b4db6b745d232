"""PostgreSQL through asyncpg: every wait has a bound, and a dead or demoted server is noticed."""

import socket
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection

from tablestakes.settings import Settings
from tablestakes.telemetry import AsyncTimedQueuePool

# A connection that says one of these has no future, though its socket is open: the server became read-only
# under it (25006, a failover), or is shutting down (57P01), crashed (57P02) or not up yet (57P03).
FORSAKEN = frozenset({"25006", "57P01", "57P02", "57P03"})

# Seconds until the kernel gives up a peer that no longer answers; the driver alone would wait for hours.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 15, 5, 3
UNACKNOWLEDGED_MS = 10_000


def create_engine(settings: Settings, *, patient: bool = False) -> AsyncEngine:
    """Return an engine whose pool, connects, statements and locks all end by themselves.

    Args:
        settings: The settings.
        patient: Whether statements may take as long as they take, as those of a migration do.
    """
    engine = create_async_engine(
        settings.url,
        isolation_level="AUTOCOMMIT",
        # Values of statements are the callers' own: they belong in no error text and no log.
        hide_parameters=True,
        poolclass=AsyncTimedQueuePool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout,
        # The connection used last is used next, so that the ones a quiet hour does not need grow idle.
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args={
            "timeout": settings.connect_timeout,
            # The client's own bound, should the server not answer at all; after the server's, should it.
            "command_timeout": None if patient else settings.statement_timeout + 2,
            "async_creator_fn": _connect,
            "server_settings": {
                "application_name": "tablestakes",
                # Short statements only lose time to it, and the driver's look-ups of types lose most.
                "jit": "off",
                "statement_timeout": "0" if patient else _milliseconds(settings.statement_timeout),
                "lock_timeout": _milliseconds(settings.statement_timeout / 2),
                "idle_in_transaction_session_timeout": _milliseconds(settings.statement_timeout * 2),
            },
        },
    )
    event.listen(engine.sync_engine, "connect", _keep_alive)
    event.listen(engine.sync_engine, "checkout", _require_open)
    event.listen(engine.sync_engine, "handle_error", _notice_forsaken)
    return engine


def create_explaining_engine(settings: Settings) -> AsyncEngine:
    """Return an engine to ask for plans with: a connection for each question, and no long wait for a lock."""
    return create_async_engine(
        settings.url,
        poolclass=NullPool,
        connect_args={
            "timeout": settings.connect_timeout,
            "command_timeout": settings.statement_timeout,
            "server_settings": {
                "application_name": "tablestakes explain",
                "default_transaction_read_only": "on",
                "lock_timeout": "500",
                "statement_timeout": "2000",
            },
        },
    )


async def _connect(*arguments: Any, **options: Any) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(*arguments, **options)
    except TimeoutError:
        # Nothing was begun, which a timeout of a statement would leave open.
        raise ConnectionError("connecting took too long") from None


def _require_open(connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    # A connection that the server closed while it was idle is known to be closed, without a round trip. It takes
    # the others of its time with it, and the caller gets a new one.
    driver: Any = connection.driver_connection
    if driver.is_closed():
        raise InvalidatePoolError("the server closed the connection")


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _keep_alive(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # asyncpg sets none of these and offers no way to; its transport is where the socket is.
    driver: Any = connection.driver_connection
    peer: socket.socket | None = driver._transport.get_extra_info("socket")
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, option):  # Linux has all four, other systems some
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _notice_forsaken(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) in FORSAKEN:
        context.is_disconnect = True
