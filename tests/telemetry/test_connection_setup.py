"""A connection that cannot be set up is counted as a failed connect, and not as a connection."""

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import NullPool, Pool, QueuePool, StaticPool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import RpcMetrics, TimedQueuePool, enter, instrument

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
ERRORS = ("db_client_errors_total", "phase", "error_type", "disconnect")
CREATE, CREATED = "db_client_connection_create_time_seconds_count", "db_client_connections_created_total"


class SetUp:
    """A listener of `connect` that raises `error`, if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, *_: object) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("pool", [TimedQueuePool, QueuePool, NullPool, StaticPool])
def test_a_failed_set_up_is_a_failed_connect(
    tmp_path: Path, registry: CollectorRegistry, by: By, total: Total, pool: type[Pool]
) -> None:
    """Any exception of a set-up, at the first connect or a later one, is an error of `connect`, with any pool."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}", poolclass=pool)
    set_up = SetUp()
    event.listen(engine, "connect", set_up)
    instrument(engine, registry=registry)
    for set_up.error in (RuntimeError("set up"), TimeoutError("set up")):
        with pytest.raises(type(set_up.error)):
            engine.connect()
    assert by(*ERRORS) == {("connect", "RuntimeError", "false"): 1, ("connect", "timeout", "false"): 1}
    assert by(CREATE, "outcome") == {("error",): 1, ("timeout",): 1}
    assert total(CREATED) == total("db_client_connection_count") == 0
    set_up.error = None
    with engine.connect() as connection:
        connection.invalidate()
        set_up.error = OSError("set up again")
        with pytest.raises(StatementError, match="again"):
            connection.execute(text("SELECT 1"))
    assert by(*ERRORS)["connect", "OSError", "false"] == 1
    assert by(CREATE, "outcome") == {("ok",): 1, ("error",): 2, ("timeout",): 1}
    assert total(CREATED) == 1
    engine.dispose()


def test_an_error_of_the_driver_is_counted_once(tmp_path: Path, registry: CollectorRegistry, by: By) -> None:
    """An error in a set-up that SQLAlchemy also reports is not counted twice."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}")
    event.listen(engine, "connect", lambda driver, _: driver.execute("SELECT nothing"))
    instrument(engine, registry=registry)
    with pytest.raises(DBAPIError):
        engine.connect()
    assert by(*ERRORS) == {("connect", "SQLITE_ERROR", "false"): 1}
    assert by(CREATE, "outcome") == {("error",): 1}
    engine.dispose()


async def test_a_cancelled_set_up(postgres_url: str, registry: CollectorRegistry, by: By, total: Total) -> None:
    """A connect that is cancelled during its set-up is counted as cancelled."""
    engine = create_async_engine(postgres_url)
    connected = asyncio.Event()

    def linger(driver: DBAPIConnection, _record: object) -> None:
        connected.set()
        cursor: Any = driver.cursor()
        cursor.execute("SELECT pg_sleep(10)")

    event.listen(engine.sync_engine, "connect", linger)
    instrument(engine, registry=registry)
    task = asyncio.create_task(_open(engine))
    await connected.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert by(*ERRORS) == {("connect", "cancelled", "false"): 1}
    assert by(CREATE, "outcome") == {("cancelled",): 1}
    assert total(CREATED) == total("db_client_connection_count") == 0
    await engine.dispose()


def test_the_time_after_a_failed_connect_is_not_charged_to_it(
    tmp_path: Path, registry: CollectorRegistry, total: Total
) -> None:
    """If a connect of an RPC fails, the time after the failure is charged to `other`."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}")
    set_up = SetUp()
    event.listen(engine, "connect", set_up)
    instrument(engine, registry=registry)
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    set_up.error = RuntimeError("set up")

    def serve() -> tuple[float, float]:
        account = enter(method)
        start = time.perf_counter()
        with pytest.raises(RuntimeError, match="set up"):
            engine.connect()
        connected = time.perf_counter()
        time.sleep(0.05)
        after = time.perf_counter() - connected
        method.finish(account, "Internal")
        return connected - start, after

    connect, after = copy_context().run(serve)
    assert total("rpc_db_seconds_total", phase="other") >= after
    assert 0 < total("rpc_db_seconds_total", phase="connect") < connect
    engine.dispose()


async def _open(engine: Any) -> None:
    async with engine.connect():
        pass
