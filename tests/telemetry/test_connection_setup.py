"""A connection that is made but cannot be set up is none, and its failure is seen as any other of a connect."""

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


class Setting:
    """A listener to connects, which fails while it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, *_: object) -> None:
        """Fail, or do nothing."""
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("pool", [TimedQueuePool, QueuePool, NullPool, StaticPool])
def test_what_fails_is_a_connect(
    tmp_path: Path, registry: CollectorRegistry, by: By, total: Total, pool: type[Pool]
) -> None:
    """Whatever is raised in setting up, on a first connect or a later one, is an error of it, and no connection."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}", poolclass=pool)
    setting = Setting()
    event.listen(engine, "connect", setting)
    instrument(engine, registry=registry)
    for setting.error in (RuntimeError("set up"), TimeoutError("set up")):
        with pytest.raises(type(setting.error)):
            engine.connect()
    assert by(*ERRORS) == {("connect", "RuntimeError", "false"): 1, ("connect", "timeout", "false"): 1}
    assert by(CREATE, "outcome") == {("error",): 1, ("timeout",): 1}
    assert total(CREATED) == total("db_client_connection_count") == 0
    setting.error = None
    with engine.connect() as connection:
        connection.invalidate()
        setting.error = OSError("set up again")
        with pytest.raises(StatementError, match="again"):
            connection.execute(text("SELECT 1"))
    assert by(*ERRORS)["connect", "OSError", "false"] == 1
    assert by(CREATE, "outcome") == {("ok",): 1, ("error",): 2, ("timeout",): 1}
    assert total(CREATED) == 1
    engine.dispose()


def test_an_error_of_the_driver_is_one(tmp_path: Path, registry: CollectorRegistry, by: By) -> None:
    """What SQLAlchemy tells of besides is not counted twice."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}")
    event.listen(engine, "connect", lambda driver, _: driver.execute("SELECT nothing"))
    instrument(engine, registry=registry)
    with pytest.raises(DBAPIError):
        engine.connect()
    assert by(*ERRORS) == {("connect", "SQLITE_ERROR", "false"): 1}
    assert by(CREATE, "outcome") == {("error",): 1}
    engine.dispose()


async def test_a_caller_who_leaves_meanwhile(
    postgres_url: str, registry: CollectorRegistry, by: By, total: Total
) -> None:
    """A connect that is cancelled while the new connection says its first words is one that was cancelled."""
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


def test_what_comes_after_is_not_charged_to_the_connect(
    tmp_path: Path, registry: CollectorRegistry, total: Total
) -> None:
    """Of an RPC that fails to connect, the time after it is its own."""
    engine = create_engine(f"sqlite:///{tmp_path / 'up.db'}")
    setting = Setting()
    event.listen(engine, "connect", setting)
    instrument(engine, registry=registry)
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    setting.error = RuntimeError("set up")

    def serve() -> None:
        account = enter(method)
        with pytest.raises(RuntimeError, match="set up"):
            engine.connect()
        time.sleep(0.3)
        method.finish(account, "Internal")

    copy_context().run(serve)
    assert total("rpc_db_seconds_total", phase="other") >= 0.3
    assert 0 < total("rpc_db_seconds_total", phase="connect") < 0.3
    engine.dispose()


async def _open(engine: Any) -> None:
    async with engine.connect():
        pass
