"""When PostgreSQL restarts, each error is counted once, and the connections agree with the server's sessions."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import NullPool, Pool, StaticPool, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument
from tests.postgres import Postgres, postgres
from tests.serving import eventually
from tests.telemetry import database_record

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
SLEEP = text("SELECT pg_sleep(:seconds)")
# The statement waits while another session has the lock.
LOCK, WAIT_FOR_LOCK = "SELECT pg_advisory_lock(7)", text("SELECT pg_advisory_lock_shared(7)")
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
    """Open a connection to a server without SQLAlchemy."""
    connection = await database_record.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def nap(engine: AsyncEngine, statement: TextClause | None = None) -> BaseException | None:
    """Run a statement, by default one that takes 150 ms, and return its exception."""
    try:
        async with engine.connect() as connection:
            await connection.execute(SLEEP.bindparams(seconds=0.15) if statement is None else statement)
    except (DBAPIError, OSError) as error:
        return error
    return None


async def sessions(connection: asyncpg.Connection, expected: float, query: str = SESSIONS) -> None:
    """Wait until the server has this number of our sessions: a closed one disappears a moment later."""
    async with asyncio.timeout(30):
        while await connection.fetchval(query) != expected:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)


async def test_a_restart(own_postgres: Postgres, registry: CollectorRegistry, by: By, total: Total) -> None:
    """Running statements and connects fail once each, idle connections are lost, and later statements succeed."""
    url = own_postgres.url("postgres")
    engine = create_async_engine(url, poolclass=AsyncTimedQueuePool, pool_size=3, max_overflow=0, **NAME)
    instrument(engine, registry=registry)
    await asyncio.gather(*(nap(engine) for _ in range(3)))
    under_way = [asyncio.create_task(nap(engine, SLEEP.bindparams(seconds=60.0))) for _ in range(2)]
    async with witness(url) as connection:
        await sessions(connection, 2, f"{SESSIONS} AND state = 'active' AND query LIKE '%pg_sleep%'")
    assert total("db_client_connection_count", db_client_connection_state="used") == 2
    await asyncio.to_thread(own_postgres.stop)
    failed = await asyncio.gather(*under_way)
    assert all(isinstance(error, DBAPIError) for error in failed)
    # The idle connection is lost without an error: a disconnect invalidates all older connections of the pool.
    while by(*ERRORS).get(("connect", "ConnectionRefusedError", "false"), 0) < 2:
        assert await nap(engine) is not None
    assert total("db_client_connection_count") == 0
    await asyncio.to_thread(own_postgres.start)
    assert await nap(engine) is None
    errors, operations = by(*ERRORS), by(*OPERATIONS)
    assert operations["SELECT", ""] == 3 + 1
    statements = sum(times for (_, error), times in operations.items() if error)
    assert sum(times for (phase, *_), times in errors.items() if phase == "execute") == statements == 2
    failures = {(error, disconnect) for (phase, error, disconnect) in errors if phase == "execute"}
    assert failures <= {("57P01", "true"), ("connection_lost", "true")}
    assert errors.keys() - {key for key in errors if key[0] == "execute"} == {
        ("connect", "ConnectionRefusedError", "false")
    }
    assert by("db_client_connection_create_time_seconds_count", "outcome") == {("ok",): 4, ("error",): 2}
    async with witness(url) as connection:
        await sessions(connection, total("db_client_connection_count"))
    assert total("db_client_connection_count") == total(CREATED) - total(CLOSED) == 1
    assert total("instrumentation_errors_total") == 0
    await engine.dispose()


async def test_a_statement_after_the_goodbye(postgres_url: str, registry: CollectorRegistry, by: By) -> None:
    """A statement between the server's goodbye and the end of its connection fails as a lost connection."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        fields = b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
        assert raw.driver_connection is not None
        raw.driver_connection._protocol.data_received(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        with pytest.raises(Exception, match="cannot switch to state"):
            await connection.execute(text("SELECT 1"))
        await connection.invalidate()
    await engine.dispose()
    assert by(*ERRORS) == {("execute", "connection_lost", "true"): 1}
    assert by(*OPERATIONS) == {("SELECT", "connection_lost"): 1}


@pytest.mark.parametrize(
    ("pool", "options", "causes"),
    [
        # Two connections stay in the pool, and each round makes a third.
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
    """With any pool, the connections agree with the server's sessions, before and after dispose()."""
    engine = create_async_engine(postgres_url, poolclass=pool, isolation_level="AUTOCOMMIT", **options, **NAME)
    instrument(engine, registry=registry)
    async with witness(postgres_url) as connection:
        for _ in range(2):
            # The statements of one asyncpg connection must run one after the other.
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
    """Statements that run during dispose() succeed and are timed; their connections are garbage-collected."""
    engine = create_async_engine(postgres_url, poolclass=AsyncTimedQueuePool, pool_size=3, **NAME)
    instrument(engine, registry=registry)
    async with witness(postgres_url) as connection:
        await connection.execute(LOCK)
        under_way = [asyncio.create_task(nap(engine, WAIT_FOR_LOCK)) for _ in range(3)]
        await eventually(lambda: total("db_client_connection_count", db_client_connection_state="used") == 3, 30)
        await engine.dispose()
        assert (
            total("db_client_connection_count", db_client_connection_state="used")
            == await connection.fetchval(SESSIONS)
            == 3
        )
        await connection.execute(LOCK.replace("lock", "unlock"))
        assert await asyncio.gather(*under_way) == [None, None, None]
        assert total("db_client_connection_count") == 0
        # SQLAlchemy leaves them to the garbage collector, and asyncpg would warn about that if they were open.
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
