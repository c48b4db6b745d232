"""Each error is counted once, under what was being done when it occurred."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, TimedQueuePool, instrument
from tablestakes.telemetry.engine.error import PHASES
from tests.postgres import free_port

By = Callable[..., dict[tuple[str, ...], float]]


@pytest.fixture
def errors(by: By) -> Callable[[], dict[tuple[str, ...], float]]:
    """A function that returns the errors by phase, type and whether they lost a connection."""
    return lambda: by("db_client_errors_total", "phase", "error_type", "disconnect")


Errors = Callable[[], dict[tuple[str, ...], float]]


@pytest.fixture
def engine(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Engine]:
    """A synchronous engine on a file, with one connection."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'errors.db'}",
        poolclass=TimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
    )
    instrument(made, registry=registry)
    yield made
    made.dispose()


def test_execute(engine: Engine, errors: Errors) -> None:
    """A statement that the database refuses is an error of `execute`, each time."""
    for _ in range(2):
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text("SELECT nothing"))
    assert errors() == {("execute", "SQLITE_ERROR", "false"): 2}


def test_compile(engine: Engine, errors: Errors) -> None:
    """A statement without a required parameter is never sent, and is an error of `compile`."""
    with engine.connect() as connection, pytest.raises(StatementError):
        connection.execute(select(bindparam("needed", type_=Integer)))
    assert errors() == {("compile", "InvalidRequestError", "false"): 1}


def test_the_default_of_a_column_fails_once(engine: Engine, errors: Errors) -> None:
    """An error in the default of a column is reported twice by SQLAlchemy, and counted once."""
    broken = Table(
        "broken",
        MetaData(),
        Column("id", Integer, primary_key=True, default=func.no_such_function()),
        Column("n", Integer),
        implicit_returning=False,
    )
    with engine.begin() as connection:
        broken.create(connection)
        with pytest.raises(StatementError):
            connection.execute(insert(broken).values(n=1))
    assert errors() == {("execute", "SQLITE_ERROR", "false"): 1}


async def test_fetch(postgres_url: str, registry: CollectorRegistry, errors: Errors) -> None:
    """A row that fails after its statement has ended is an error of `fetch`."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        rows = await connection.stream(text("SELECT 1 / (900 - n) FROM generate_series(1, 1000) AS n"))
        with pytest.raises(Exception, match="division by zero"):
            await rows.all()
    await engine.dispose()
    assert errors() == {("fetch", "22012", "false"): 1}


async def test_a_refused_connect_over_asyncpg(registry: CollectorRegistry, errors: Errors) -> None:
    """A refused connect is an OSError, which SQLAlchemy reports to no listener, and is counted under `connect`."""
    engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    instrument(engine, registry=registry)
    for _ in range(2):
        with pytest.raises(OSError, match=r"refused|Connect"):
            await engine.connect()
    await engine.dispose()
    assert errors() == {("connect", "ConnectionRefusedError", "false"): 2}


async def test_a_connect_that_the_server_refuses(
    postgres_url: str, registry: CollectorRegistry, errors: Errors
) -> None:
    """A missing database is an error that SQLAlchemy also reports, and is still counted once."""
    engine = create_async_engine(f"{postgres_url}_not")
    instrument(engine, registry=registry)
    with pytest.raises(DBAPIError):
        await engine.connect()
    await engine.dispose()
    assert errors() == {("connect", "3D000", "false"): 1}


async def test_a_connect_that_is_cancelled(registry: CollectorRegistry, errors: Errors) -> None:
    """A connect that is cancelled while the server does not answer is counted as cancelled."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        instrument(engine, registry=registry)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await engine.connect()
        await engine.dispose()
    assert errors() == {("connect", "cancelled", "false"): 1}


def test_a_connect_that_sqlite_refuses(tmp_path: Path, registry: CollectorRegistry, errors: Errors) -> None:
    """A database file that cannot be created is an error of `connect`."""
    engine = create_engine(f"sqlite:///{tmp_path / 'missing' / 'errors.db'}")
    instrument(engine, registry=registry)
    with pytest.raises(DBAPIError):
        engine.connect()
    engine.dispose()
    assert errors() == {("connect", "SQLITE_CANTOPEN", "false"): 1}


def test_reconnecting_for_a_statement_fails_as_a_connect(engine: Engine, errors: Errors) -> None:
    """A connect that fails in the middle of execute() is counted under `connect` only."""
    with engine.connect() as connection:
        connection.invalidate()
        connection.rollback()

        def refuse(*_: object, **__: object) -> None:
            raise ConnectionResetError("refused")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.dialect.loaded_dbapi, "connect", refuse)
            # SQLAlchemy wraps the error, because there is a statement already.
            with pytest.raises((ConnectionResetError, StatementError)):
                connection.execute(text("SELECT 1"))
    assert errors() == {("connect", "ConnectionResetError", "false"): 1}


async def test_a_stale_ping_is_no_connect_error(
    postgres_url: str, registry: CollectorRegistry, errors: Errors
) -> None:
    """A pooled connection that has died is an error of `ping` and of nothing else: it is replaced."""
    engine = create_async_engine(postgres_url, pool_pre_ping=True)
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        number = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    other = create_async_engine(postgres_url)
    async with other.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:number, 2000)"), {"number": number})
    await other.dispose()
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    await engine.dispose()
    [((phase, _, disconnect), count)] = errors().items()
    assert (phase, disconnect, count) == ("ping", "true", 1)


async def test_a_ping_that_gets_no_answer(
    postgres_url: str, registry: CollectorRegistry, errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout of a ping, which SQLAlchemy does not report, is counted under `ping`."""
    engine = create_async_engine(postgres_url, pool_pre_ping=True)

    def silent(_: object) -> bool:
        raise TimeoutError

    monkeypatch.setattr(engine.dialect, "do_ping", silent)
    instrument(engine, registry=registry)
    async with engine.connect():
        pass
    with pytest.raises(TimeoutError):
        await engine.connect()
    await engine.dispose()
    assert errors() == {("ping", "timeout", "true"): 1}


def test_each_phase_is_zero_before_its_first_error(
    engine: Engine, registry: CollectorRegistry, errors: Errors
) -> None:
    """From the start there is a sample at zero for each phase, without an error_type, and it stays at zero."""
    name = "db_client_errors_total"
    samples = [sample for family in registry.collect() for sample in family.samples if sample.name == name]
    assert [(s.labels["phase"], s.labels["error_type"], s.labels["disconnect"], s.value) for s in samples] == [
        (phase, "", "false", 0) for phase in PHASES
    ]
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT * FROM nowhere"))
    assert errors() == {("execute", "SQLITE_ERROR", "false"): 1}


async def test_a_lost_connection_is_a_disconnect(
    postgres_url: str, registry: CollectorRegistry, errors: Errors
) -> None:
    """A statement whose connection is terminated is one error with `disconnect`."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await engine.dispose()
    # The server sends 57P01 and then disconnects; the driver may notice either first.
    [((phase, kind, disconnect), count)] = errors().items()
    assert (phase, disconnect, count) == ("execute", "true", 1)
    assert kind in {"57P01", "connection_lost"}


def test_a_pool_timeout_is_of_the_checkout(engine: Engine, errors: Errors) -> None:
    """A checkout that gets no connection in time is an error of `checkout`, for which SQLAlchemy has no event."""
    with engine.connect(), pytest.raises(PoolTimeoutError):
        engine.connect()
    assert errors() == {("checkout", "timeout", "false"): 1}


async def test_a_cancelled_checkout(tmp_path: Path, registry: CollectorRegistry, errors: Errors) -> None:
    """A checkout that is cancelled while it waits for the pool is an error of `checkout`."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", poolclass=AsyncTimedQueuePool, pool_size=1, max_overflow=0
    )
    instrument(engine, registry=registry)
    async with engine.connect():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await engine.connect()
    await engine.dispose()
    assert errors() == {("checkout", "cancelled", "false"): 1}


@pytest.mark.parametrize("phase", ["commit", "rollback"])
def test_ending_a_transaction(engine: Engine, errors: Errors, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """A failed COMMIT or ROLLBACK is counted under its own phase, although SQLAlchemy distinguishes neither."""
    connection = engine.connect()
    connection.execute(text("SELECT 1"))

    def broken(*_: object) -> None:
        raise engine.dialect.loaded_dbapi.OperationalError("broken")

    with monkeypatch.context() as patch:
        driver: Any = connection.connection.dbapi_connection
        patch.setattr(connection.connection, "dbapi_connection", _Proxy(driver, phase, broken))
        with pytest.raises(DBAPIError):
            getattr(connection, phase)()
    connection.close()
    assert errors() == {(phase, "OperationalError", "false"): 1}


def test_a_handler_may_replace_the_error(engine: Engine, errors: Errors) -> None:
    """An error that another listener replaces is counted under its original type."""

    @event.listens_for(engine, "handle_error")
    def replace(_: object) -> None:
        raise RuntimeError("replaced")

    with engine.connect() as connection, pytest.raises(RuntimeError, match="replaced"):
        connection.execute(text("SELECT nothing"))
    assert errors() == {("execute", "SQLITE_ERROR", "false"): 1}


class _Proxy:
    """A connection of the driver, one of whose methods fails."""

    def __init__(self, driver: Any, name: str, method: Callable[..., None]) -> None:
        self._driver = driver
        setattr(self, name, method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)
