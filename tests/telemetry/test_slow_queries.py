"""A slow statement is counted and logged in one line, without its values."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import LoopLag, RpcAccount, RpcMetrics, enter, instrument
from tablestakes.telemetry.account import CONNECT
from tests.telemetry.engine_labels import IN_A_FILE

CANARY = "canary-8d1f"
By = Callable[..., dict[tuple[str, ...], float]]
Total = Callable[..., float]
LOGGER = "tablestakes.telemetry.slow"


def test_a_slow_statement_is_one_line_without_values(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line has the duration, the statement and its RPC, and placeholders for the values."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0)
    with engine.connect() as connection, caplog.at_level(logging.WARNING, LOGGER):
        connection.execute(text("SELECT :secret AS word"), {"secret": CANARY})
    engine.dispose()
    [record] = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (LOGGER, "WARNING", "slow query")
    fields = vars(record)
    assert fields["db_query_text"] == "SELECT ? AS word"
    assert fields["db_operation_name"] == "SELECT"
    assert fields["db_collection_name"] == "raw"
    assert fields["threshold_seconds"] == 0.0
    assert fields["duration_seconds"] > 0
    assert fields["rpc_method"] == ""
    assert fields["error_type"] == ""
    assert fields["rows"] is None
    assert CANARY not in repr(fields)


def test_a_slow_failure_has_its_error_and_no_values(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A slow statement that fails is logged with its error type, and without the driver's message."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0)
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT * FROM nowhere WHERE word = :secret"), {"secret": CANARY})
    engine.dispose()
    [record] = [record for record in caplog.records if record.name == LOGGER]
    assert vars(record)["error_type"] == "SQLITE_ERROR"
    assert CANARY not in repr(vars(record))


def test_a_long_statement_is_cut(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """No more than 2,000 characters of a statement are logged."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0)
    with engine.connect() as connection:
        connection.execute(text("SELECT " + " + ".join(["1"] * 900)))
    engine.dispose()
    assert len(vars(caplog.records[0])["db_query_text"]) == 2000


def test_rows_are_logged_if_the_driver_counts_them(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line has the number of changed rows."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        instrument(engine, registry=registry, slow_seconds=0.0)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1), (2), (3)"))
    engine.dispose()
    assert vars(caplog.records[-1])["rows"] == 3


async def test_the_line_names_the_rpc(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """The log line of an RPC's statement has the full name of the method."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0)
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")

    async def serve() -> None:
        enter(method)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    await asyncio.create_task(serve())
    engine.dispose()
    assert [vars(record)["rpc_method"] for record in caplog.records] == ["/shop.v1.Shop/Buy"]


async def test_the_line_has_the_waits_of_the_rpc(
    tmp_path: Path, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line has the time that the RPC has spent on the pool and on connects so far."""
    engine = create_engine(f"sqlite:///{tmp_path / 'slow.db'}")
    instrument(engine, registry=registry, slow_seconds=0.0)
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")

    async def serve() -> RpcAccount:
        account = enter(method)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return account

    account = await asyncio.create_task(serve())
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    of_the_rpc, of_none = (vars(record) for record in caplog.records)
    assert of_the_rpc["connect_seconds"] == account.seconds[CONNECT] > 0
    assert of_the_rpc["pool_wait_seconds"] == 0
    assert "connect_seconds" not in of_none


@pytest.mark.parametrize(("trace", "expected"), [("4bf92f35", "4bf92f35"), ("", None), (None, None)])
def test_the_line_has_the_trace(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, trace: str | None, expected: str | None
) -> None:
    """The log line has the trace id that the callable returns, and no such field without one."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0, trace_id=lambda: trace)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert vars(caplog.records[0]).get("trace_id") == expected


def test_a_quick_statement_is_not_slow(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """A statement below the threshold is not logged, and the counter exists at zero."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=60.0)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert not caplog.records
    labels = IN_A_FILE | {"db_operation_name": "SELECT", "db_collection_name": "raw", "cause": "statement"}
    assert registry.get_sample_value("db_client_slow_operations_total", labels) == 0


def test_slow_is_the_count_beyond_the_bucket(
    registry: CollectorRegistry, total: Total, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a bucket bound as threshold, the number of slow statements is the count minus that bucket."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.5)
    statement = "tablestakes.telemetry.engine.statement"
    with engine.connect() as connection:
        for seconds in (0.0, 0.0625, 0.4375, 0.5, 0.5000001, 0.7, 30.0):
            clock = iter((0.0, seconds))
            monkeypatch.setattr(f"{statement}.perf_counter", lambda clock=clock: next(clock))
            connection.execute(text("SELECT 1"))
        for seconds in (2.0, 0.5):
            clock = iter((0.0, seconds))
            monkeypatch.setattr(f"{statement}.perf_counter", lambda clock=clock: next(clock))
            with pytest.raises(DBAPIError):
                connection.execute(text("SELECT nothing"))
    engine.dispose()
    name = "db_client_operation_duration_seconds"
    slow = total("db_client_slow_operations_total")
    assert slow == 4
    assert slow == total(f"{name}_count") - total(f"{name}_bucket", le="0.5")


async def test_a_late_loop_explains_a_slow_statement(
    tmp_path: Path, registry: CollectorRegistry, by: By, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement that is slow because the loop was blocked is logged with the lag and counted by that cause."""
    lag = LoopLag(registry, interval=0.001)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'late.db'}")
    instrument(engine, registry=registry, slow_seconds=0.1, lag=lag)
    sent = asyncio.Event()
    event.listen(engine.sync_engine, "do_execute", lambda *_: sent.set())
    lag.start()
    async with engine.connect() as connection:
        statement = asyncio.create_task(connection.execute(text("SELECT 1")))
        await sent.wait()
        time.sleep(0.3)  # noqa: ASYNC251 - to block the loop while the statement runs
        await statement
    lag.stop()
    await engine.dispose()
    [record] = caplog.records
    fields = vars(record)
    assert fields["duration_seconds"] - 0.1 <= fields["loop_lag_seconds"] <= fields["duration_seconds"]
    assert by("db_client_slow_operations_total", "cause") == {("event_loop",): 1}


async def test_a_slow_database_is_not_explained_by_the_loop(
    postgres_url: str, registry: CollectorRegistry, by: By, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement that the database takes long for is slow by itself, while the loop runs as usual."""
    lag = LoopLag(registry)
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry, slow_seconds=0.1, lag=lag)
    lag.start()
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(0.8)"))
    lag.stop()
    await engine.dispose()
    [record] = [record for record in caplog.records if "pg_sleep" in vars(record)["db_query_text"]]
    assert vars(record)["loop_lag_seconds"] < vars(record)["duration_seconds"] - 0.1
    assert by("db_client_slow_operations_total", "cause") == {("statement",): 1}


def test_a_synchronous_statement_is_never_explained_by_the_loop(
    registry: CollectorRegistry, by: By, caplog: pytest.LogCaptureFixture
) -> None:
    """A synchronous statement makes its loop late itself, so the lag is neither logged nor subtracted."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry, slow_seconds=0.0, lag=LoopLag(registry))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert "loop_lag_seconds" not in vars(caplog.records[0])
    assert by("db_client_slow_operations_total", "cause") == {("statement",): 1}
