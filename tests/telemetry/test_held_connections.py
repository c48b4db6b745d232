"""The connections that the RPCs of each method hold, and those that are being made."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, RpcMetrics, enter, instrument
from tests.serving import eventually

By = Callable[..., dict[tuple[str, ...], float]]
Total = Callable[..., float]
HELD, SECONDS = "rpc_db_connections_held", "rpc_db_connection_held_seconds_total"
CHECKOUTS = "rpc_db_connection_checkouts_total"
CONSTRUCTING = "db_client_connections_constructing"


@pytest.fixture
async def engine(postgres_url: str, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An engine that is instrumented."""
    made = create_async_engine(postgres_url, poolclass=AsyncTimedQueuePool)
    instrument(made, registry=registry)
    yield made
    await made.dispose()


async def test_a_method_holds_connections(engine: AsyncEngine, registry: CollectorRegistry, by: By) -> None:
    """The connections that are used are those that methods hold, and their time is the time they were held for."""
    rpcs = RpcMetrics(registry)
    holding, release = asyncio.Barrier(4), asyncio.Event()

    async def serve(name: str, connections: int) -> None:
        method = rpcs.method("shop.v1.Shop", name)
        account = enter(method)
        for _ in range(connections):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                await holding.wait()
                await release.wait()
        method.finish(account, "OK")

    tasks = [asyncio.create_task(serve(name, 1)) for name in ("Buy", "Buy", "Sell")]
    async with engine.connect():
        await holding.wait()
        start = time.perf_counter()
        methods = ("grpc_service", "grpc_method")
        assert by(HELD, *methods) == {("shop.v1.Shop", "Buy"): 2, ("shop.v1.Shop", "Sell"): 1, ("", ""): 1}
        assert by("db_client_connection_count", "db_client_connection_state") == {("used",): 4}
        await asyncio.sleep(0.05)
        release.set()
        held = time.perf_counter() - start
        await asyncio.gather(*tasks)
    assert by(HELD, *methods) == {}
    assert registry.get_sample_value(CHECKOUTS, {"grpc_service": "shop.v1.Shop", "grpc_method": "Buy"}) == 2
    assert by(CHECKOUTS, "grpc_method") == {("Buy",): 2, ("Sell",): 1}
    seconds, used = by(SECONDS, "grpc_method"), by("db_client_connection_use_time_seconds_sum")[()]
    assert seconds["Buy",] >= 2 * held
    assert seconds["Sell",] >= held
    assert sum(seconds.values()) < used


async def test_a_connection_that_outlives_its_rpc(engine: AsyncEngine, registry: CollectorRegistry, by: By) -> None:
    """A connection that a task returns after its RPC has ended is still that method's."""
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    ended = asyncio.Event()

    async def outlive() -> None:
        async with engine.connect():
            await ended.wait()

    async def serve() -> asyncio.Task[None]:
        account = enter(method)
        task = asyncio.create_task(outlive())
        await eventually(lambda: by(HELD, "grpc_method"))
        method.finish(account, "OK")
        return task

    task = await asyncio.create_task(serve())
    assert by(HELD, "grpc_method") == {("Buy",): 1}
    assert by(CHECKOUTS, "grpc_method") == {}
    ended.set()
    await task
    assert by(CHECKOUTS, "grpc_method") == {("Buy",): 1}
    assert by(SECONDS, "grpc_method")["Buy",] > 0
    assert by(HELD, "grpc_method") == {}


async def test_connections_that_are_being_made(
    postgres_url: str, registry: CollectorRegistry, total: Total
) -> None:
    """A connection is being made until it is set up or has failed."""
    engine = create_async_engine(postgres_url)
    seen: list[float] = []
    fail = False

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(*_: Any) -> None:
        seen.append(total(CONSTRUCTING))
        if fail:
            raise RuntimeError("not set up")

    instrument(engine, registry=registry)
    async with engine.connect():
        assert total(CONSTRUCTING) == 0
        fail = True
        with pytest.raises(RuntimeError, match="not set up"):
            await engine.connect()
    assert seen == [1, 1]
    assert total(CONSTRUCTING) == 0
    await engine.dispose()
