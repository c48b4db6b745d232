"""A server that goes away in the middle: errors are counted once each, and connections are those that it has."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import NullPool, Pool, StaticPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument
from tests.postgres import Postgres, postgres
from tests.serving import eventually
from tests.telemetry import database_record

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
SLEEP = text("SELECT pg_sleep(0.15)")
NAME = {"connect_args": {"server_settings": {"application_name": "observed"}}}
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'observed' AND datname = current_database()"
)
ERRORS = ("db_client_errors_total", "phase", "error_type", "disconnect")
OPERATIONS = ("db_client_operation_duration_seconds_count", "db_operation_name", "error_type")
CREATED, CLOSED = "db_client_connections_created_total", "db_client_connections_closed_total"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop."""
    with postgres() as server:
        yield server


@asynccontextmanager
async def witness(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Ask a server past SQLAlchemy."""
    connection = await database_record.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def nap(engine: AsyncEngine) -> BaseException | None:
    """Run a statement that takes a while, and return what it raised."""
    try:
        async with engine.connect() as connection:
            await connection.execute(SLEEP)
    except (DBAPIError, OSError) as error:
        return error
    return None


async def sessions(connection: asyncpg.Connection, expected: float) -> None:
    """Wait until the server has as many sessions of ours: one that was told goodbye lasts a moment longer."""
    async with asyncio.timeout(5):
        while await connection.fetchval(SESSIONS) != expected:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)


async def test_a_restart(own_postgres: Postgres, registry: CollectorRegistry, by: By, total: Total) -> None:
    """Statements under way, connects meanwhile and idle connections each fail once, and then all is as before."""
    url = own_postgres.url("postgres")
    engine = create_async_engine(url, poolclass=AsyncTimedQueuePool, pool_size=3, max_overflow=0, **NAME)
    instrument(engine, registry=registry)
    await asyncio.gather(*(nap(engine) for _ in range(3)))
    under_way = [asyncio.create_task(nap(engine)) for _ in range(2)]
    await eventually(lambda: total("db_client_connection_count", state="used") == 2)
    await asyncio.sleep(0.05)  # for the statements to be sent
    await asyncio.to_thread(own_postgres.stop)
    failed = await asyncio.gather(*under_way)
    assert all(isinstance(error, DBAPIError) for error in failed)
    # The third connection goes with them, unseen: what is lost by a statement takes the others of its time along.
    while by(*ERRORS).get(("connect", "ConnectionRefusedError", "false"), 0) < 2:
        assert await nap(engine) is not None
    assert total("db_client_connection_count") == 0
    await asyncio.to_thread(own_postgres.start)
    assert await nap(engine) is None
    errors, operations = by(*ERRORS), by(*OPERATIONS)
    assert operations["SELECT", ""] == 3 + 1
    statements = sum(times for (_, error), times in operations.items() if error)
    assert sum(times for (phase, *_), times in errors.items() if phase == "execute") == statements == 2
    assert {lost for (phase, _, lost) in errors if phase == "execute"} == {"true"}
    assert errors.keys() - {key for key in errors if key[0] == "execute"} == {
        ("connect", "ConnectionRefusedError", "false")
    }
    assert by("db_client_connection_create_time_seconds_count", "outcome") == {("ok",): 4, ("error",): 2}
    async with witness(url) as connection:
        await sessions(connection, total("db_client_connection_count"))
    assert total("db_client_connection_count") == total(CREATED) - total(CLOSED) == 1
    assert total("instrumentation_errors_total") == 0
    await engine.dispose()


@pytest.mark.parametrize(
    ("pool", "options", "causes"),
    [
        # Two stay, and with each round comes a third.
        (AsyncTimedQueuePool, {"pool_size": 2, "max_overflow": 1}, {"overflow": 2, "dispose": 2}),
        (NullPool, {}, {"overflow": 6}),
        (StaticPool, {}, {"dispose": 1}),
    ],
)
async def test_each_kind_of_pool(
    postgres_url: str,
    registry: CollectorRegistry,
    by: By,
    total: Total,
    pool: type[Pool],
    options: dict[str, Any],
    causes: dict[str, int],
) -> None:
    """Whatever the pool, what is said of its connections is what the server says, at work and after dispose()."""
    engine = create_async_engine(postgres_url, poolclass=pool, isolation_level="AUTOCOMMIT", **options, **NAME)
    instrument(engine, registry=registry)
    async with witness(postgres_url) as connection:
        for _ in range(2):
            # Those who share one connection of asyncpg's must take turns.
            at_once = 1 if pool is StaticPool else 3
            for _ in range(3 // at_once):
                assert not any(await asyncio.gather(*(nap(engine) for _ in range(at_once))))
            await sessions(connection, total("db_client_connection_count"))
            assert total("db_client_connection_count") == total(CREATED) - total(CLOSED)
        assert by(*OPERATIONS) == {("SELECT", ""): 6}
        await engine.dispose()
        await sessions(connection, 0)
    assert by(CLOSED, "cause") == {(cause,): times for cause, times in causes.items()}
    assert total(CREATED) == sum(causes.values())


async def test_dispose_while_statements_run(
    postgres_url: str, registry: CollectorRegistry, by: By, total: Total
) -> None:
    """Statements that run when the pool is disposed of end well and are timed; their connections are forgotten."""
    engine = create_async_engine(postgres_url, poolclass=AsyncTimedQueuePool, pool_size=3, **NAME)
    instrument(engine, registry=registry)
    async with witness(postgres_url) as connection:
        under_way = [asyncio.create_task(nap(engine)) for _ in range(3)]
        await eventually(lambda: total("db_client_connection_count", state="used") == 3)
        await engine.dispose()
        assert total("db_client_connection_count", state="used") == await connection.fetchval(SESSIONS) == 3
        assert await asyncio.gather(*under_way) == [None, None, None]
        assert total("db_client_connection_count") == 0
        # SQLAlchemy leaves them to the garbage collector, of which asyncpg would complain.
        await connection.execute(SESSIONS.replace("count(*)", "pg_terminate_backend(pid)"))
        await sessions(connection, 0)
        assert await nap(engine) is None
        await sessions(connection, total("db_client_connection_count"))
    del under_way
    gc.collect()
    assert by(CLOSED, "cause") == {("gc",): 3}
    assert by(*OPERATIONS) == {("SELECT", ""): 4}
    assert by(*ERRORS) == {}
    assert total("db_client_connection_use_time_seconds_count") == 4
    await engine.dispose()
