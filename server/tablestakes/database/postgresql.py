"""PostgreSQL through asyncpg: every wait has a bound, and a dead or demoted server is noticed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection

from tablestakes.database.backend import MIGRATORS_POLL_SECONDS, MIGRATORS_SECONDS, Backend
from tablestakes.database.budget import find_limit
from tablestakes.database.pooler import Sessions
from tablestakes.database.risk import find_risks
from tablestakes.database.schema_error import SchemaError
from tablestakes.database.tls import tls_options
from tablestakes.settings import Settings
from tablestakes.telemetry import AsyncTimedQueuePool

# A connection that says one of these has no future, though its socket is open: the server became read-only
# under it (25006, a failover), or is shutting down (57P01), crashed (57P02) or not up yet (57P03).
LOST_STATES = frozenset({"25006", "57P01", "57P02", "57P03"})

# Seconds until the kernel gives up a peer that no longer answers; the driver alone would wait for hours.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 15, 5, 3
UNACKNOWLEDGED_MS = 10_000

# Seconds after the end of a snapshot's time until the server ends its transaction.
IDLE_SECONDS = 5.0

# Any number that nothing else locks; the same for every migrator.
LOCK = 0x7AB1E57A


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
            **tls_options(settings),
            # A migration is locked for as long as its session lasts.
            "async_creator_fn": Sessions(lasting=patient).connect,
            "server_settings": {
                "application_name": settings.application_name,
                # Short statements only lose time to it, and the driver's look-ups of types lose most.
                "jit": "off",
                "statement_timeout": "0" if patient else _milliseconds(settings.statement_timeout),
                "lock_timeout": _milliseconds(settings.statement_timeout / 2),
                "idle_in_transaction_session_timeout": _milliseconds(settings.statement_timeout * 2),
            },
        },
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "checkout", _on_checkout)
    event.listen(engine.sync_engine, "handle_error", _on_handle_error)
    return engine


def create_explaining_engine(settings: Settings) -> AsyncEngine:
    """Return an engine to ask for plans with: a connection for each question, and no long wait for a lock."""
    return create_async_engine(
        settings.url,
        poolclass=NullPool,
        connect_args={
            "timeout": settings.connect_timeout,
            **tls_options(settings),
            "async_creator_fn": Sessions(lasting=True).connect,
            "command_timeout": settings.statement_timeout,
            "server_settings": {
                "application_name": f"{settings.application_name} explain",
                "default_transaction_read_only": "on",
                "lock_timeout": "500",
                "statement_timeout": "2000",
            },
        },
    )


def _on_checkout(connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    # A connection that the server closed while it was idle is known to be closed, without a round trip. It takes
    # the others of its time with it, and the caller gets a new one.
    driver: Any = connection.driver_connection
    if driver.is_closed():
        raise InvalidatePoolError("the server closed the connection")


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
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


def _on_handle_error(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) in LOST_STATES:
        context.is_disconnect = True
    elif isinstance(context.original_exception, TimeoutError):
        # The server ends a statement before the driver does. It did not, so it hangs or is gone: the pool's other
        # connections to it would take as long to find out, one after another.
        context.invalidate_pool_on_disconnect = True


@asynccontextmanager
async def migrators_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold an advisory lock on a connection of its own, for as long as it is entered.

    Raises:
        SchemaError: Another migrator had it for too long.
    """
    async with engine.connect() as connection:
        # Ask again instead of waiting in the database: a session that waits for a lock keeps others from theirs.
        waiting = asyncio.timeout(MIGRATORS_SECONDS)
        try:
            async with waiting:
                while not await connection.scalar(select(func.pg_try_advisory_lock(LOCK))):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(MIGRATORS_POLL_SECONDS)
        except TimeoutError:
            if not waiting.expired():  # the driver's own
                raise
            raise SchemaError(f"another migration has been running for {MIGRATORS_SECONDS:.0f} seconds") from None
        try:
            yield
        finally:
            await connection.execute(select(func.pg_advisory_unlock(LOCK)))


@contextmanager
def snapshot(connection: Connection, *, seconds: float) -> Iterator[Connection]:
    """Begin a transaction that reads one state of the database: REPEATABLE READ, READ ONLY."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    reading = connection.execution_options(**options)
    with reading.begin():
        # Whoever reads may be slow: the transaction waits for them as long as they may take, and not as long as a
        # statement may. Should this process hang, the server still ends it.
        idle = func.set_config("idle_in_transaction_session_timeout", _milliseconds(seconds + IDLE_SECONDS), True)
        reading.execute(select(idle))
        yield reading


POSTGRESQL = Backend(
    name="postgresql",
    create_engine=create_engine,
    create_reading_engine=lambda _: None,
    create_explaining_engine=create_explaining_engine,
    isolation_level="READ COMMITTED",
    snapshot=snapshot,
    groups_commits=False,
    embedded=False,
    migrators_lock=migrators_lock,
    migrating=lambda _: nullcontext(),
    find_risks=find_risks,
    find_limit=find_limit,
)
