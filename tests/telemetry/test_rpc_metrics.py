"""RPC metrics have the names of the Go middleware, and statements belong to the RPC that sent them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import CODES, RpcAccount, RpcMetrics, current_rpc, enter, instrument
from tablestakes.telemetry.account import QUERY

GO_CODES = {
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}  # fmt: skip
LABELS = {"grpc_type": "unary", "grpc_service": "shop.v1.Shop", "grpc_method": "Buy"}
IN_FLIGHT = {"grpc_service": "shop.v1.Shop", "grpc_method": "Buy"}


def test_every_code_is_there_from_the_start(registry: CollectorRegistry) -> None:
    """A method that was never called has all its series at zero."""
    RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    assert set(CODES) == GO_CODES
    for code in GO_CODES:
        assert registry.get_sample_value("grpc_server_handled_total", LABELS | {"grpc_code": code}) == 0
    for name in (
        "grpc_server_started_total",
        "grpc_server_msg_received_total",
        "grpc_server_msg_sent_total",
        "grpc_server_handling_seconds_count",
        "grpc_server_handling_seconds_sum",
    ):
        assert registry.get_sample_value(name, LABELS) == 0
    assert registry.get_sample_value("grpc_server_in_flight", IN_FLIGHT) == 0


def test_the_buckets_of_handling(registry: CollectorRegistry) -> None:
    """The buckets are the union of those that the usual dashboards need."""
    RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    edges = [
        sample.labels["le"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "grpc_server_handling_seconds_bucket"
    ]
    assert [f"{float(edge):g}".removeprefix("0") for edge in edges] == [
        ".001",
        ".0025",
        ".005",
        ".01",
        ".025",
        ".05",
        ".075",
        ".1",
        ".25",
        ".5",
        ".75",
        "1",
        "2.5",
        "5",
        "7.5",
        "10",
        "inf",
    ]


def test_an_rpc_is_counted_and_in_flight_between(registry: CollectorRegistry) -> None:
    """An RPC is in flight from `started` to `handled`, and is counted under its code with its time."""
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    method.started()
    method.started()
    assert registry.get_sample_value("grpc_server_in_flight", IN_FLIGHT) == 2
    method.handled("OK", 0.25)
    assert registry.get_sample_value("grpc_server_in_flight", IN_FLIGHT) == 1
    method.handled("InvalidArgument", 0.5)
    assert registry.get_sample_value("grpc_server_in_flight", IN_FLIGHT) == 0
    value = registry.get_sample_value
    assert value("grpc_server_started_total", LABELS) == 2
    assert value("grpc_server_handled_total", LABELS | {"grpc_code": "OK"}) == 1
    assert value("grpc_server_handled_total", LABELS | {"grpc_code": "InvalidArgument"}) == 1
    assert value("grpc_server_handling_seconds_count", LABELS) == 2
    assert value("grpc_server_handling_seconds_sum", LABELS) == 0.75
    assert value("grpc_server_handling_seconds_bucket", LABELS | {"le": "0.25"}) == 1


def test_a_unary_rpc_is_a_message_each_way(registry: CollectorRegistry) -> None:
    """A unary request is counted at the start and its response at the end, also of a failed RPC, as in Go."""
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    method.started()
    assert registry.get_sample_value("grpc_server_msg_received_total", LABELS) == 1
    assert registry.get_sample_value("grpc_server_msg_sent_total", LABELS) == 0
    method.handled("Internal", 0.1)
    assert registry.get_sample_value("grpc_server_msg_sent_total", LABELS) == 1


def test_streamed_messages_are_counted_one_by_one(registry: CollectorRegistry) -> None:
    """A server stream has one request and the responses that were sent; a client stream is the reverse."""
    metrics = RpcMetrics(registry)
    watch = metrics.method("shop.v1.Shop", "Watch", "server_stream")
    upload = metrics.method("shop.v1.Shop", "Upload", "client_stream")
    for method in (watch, upload):
        method.started()
        method.received()
        for _ in range(3):
            method.sent()
            method.received()
        method.handled("OK", 1.0)

    def messages(grpc_type: str, name: str) -> tuple[float | None, float | None]:
        labels = {"grpc_type": grpc_type, "grpc_service": "shop.v1.Shop", "grpc_method": name}
        return (
            registry.get_sample_value("grpc_server_msg_received_total", labels),
            registry.get_sample_value("grpc_server_msg_sent_total", labels),
        )

    assert messages("server_stream", "Watch") == (1, 3)
    assert messages("client_stream", "Upload") == (4, 1)


def test_an_unknown_code_is_counted_as_unknown(registry: CollectorRegistry) -> None:
    """A code that does not exist is counted as `Unknown`, because counting must not fail an RPC."""
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    method.started()
    method.handled("NOT_FOUND", 0.1)
    assert registry.get_sample_value("grpc_server_handled_total", LABELS | {"grpc_code": "Unknown"}) == 1


def test_a_method_is_made_once(registry: CollectorRegistry) -> None:
    """Asking again for a method returns the same counters, and wrong arguments raise ValueError."""
    metrics = RpcMetrics(registry)
    assert metrics.method("shop.v1.Shop", "Buy") is metrics.method("shop.v1.Shop", "Buy")
    with pytest.raises(ValueError, match="unary already"):
        metrics.method("shop.v1.Shop", "Buy", "bidi_stream")
    with pytest.raises(ValueError, match="must be one of unary"):
        metrics.method("shop.v1.Shop", "Sell", "UNARY")
    with pytest.raises(ValueError, match="Duplicated"):
        RpcMetrics(registry)


def test_threads_lose_no_rpc(registry: CollectorRegistry) -> None:
    """RPCs that many threads count add up."""
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")

    def serve() -> None:
        for _ in range(1000):
            method.started()
            method.handled("OK", 0.5)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(serve) for _ in range(8)]:
            done.result()
    assert registry.get_sample_value("grpc_server_handled_total", LABELS | {"grpc_code": "OK"}) == 8000
    assert registry.get_sample_value("grpc_server_in_flight", IN_FLIGHT) == 0


async def _run(engine: AsyncEngine, times: int = 1) -> None:
    async with engine.connect() as connection:
        for _ in range(times):
            await connection.execute(text("SELECT 1"))
            await asyncio.sleep(0)


async def test_a_hundred_rpcs_at_once_keep_their_own_accounts(tmp_path: Path, registry: CollectorRegistry) -> None:
    """Statements are charged to the RPC that sent them, also from its child tasks and from asyncio.gather."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'rpc.db'}")
    instrument(engine, registry=registry)
    metrics = RpcMetrics(registry)

    async def serve(number: int) -> RpcAccount:
        account = enter(metrics.method("shop.v1.Shop", f"Buy{number}"))
        await _run(engine, number % 3)
        await asyncio.gather(_run(engine), _run(engine))
        await asyncio.create_task(_run(engine))
        assert current_rpc.get() is account
        return account

    accounts = await asyncio.gather(*(asyncio.create_task(serve(number)) for number in range(100)))
    await engine.dispose()
    for number, account in enumerate(accounts):
        assert account.full_method == f"/shop.v1.Shop/Buy{number}"
        assert account.statements == number % 3 + 3
        assert account.seconds[QUERY] > 0


async def test_failed_statements_are_charged_too(tmp_path: Path, registry: CollectorRegistry) -> None:
    """A failed statement is charged to its RPC like any other."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'rpc.db'}")
    instrument(engine, registry=registry)
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")

    async def serve() -> RpcAccount:
        account = enter(method)
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT nothing"))
        return account

    account = await asyncio.create_task(serve())
    await engine.dispose()
    assert account.statements == 1


async def test_outside_of_an_rpc_there_is_no_account() -> None:
    """Outside of the task of an RPC there is no current account."""

    async def look() -> RpcAccount | None:
        return current_rpc.get()

    assert await asyncio.create_task(look()) is None


def test_the_sizes_of_messages_are_counted_by_method(registry: CollectorRegistry) -> None:
    """The bytes of requests and responses are histograms, without a response for an RPC that has failed."""
    rpcs = RpcMetrics(registry)
    method = rpcs.method("shop.v1.Shop", "Buy")
    rpcs.method("shop.v1.Shop", "Sell")
    method.sent(5_000)
    method.finish(enter(method), "OK", received=20)
    method.finish(enter(method), "NotFound", received=30)
    current_rpc.set(None)
    found = {
        (sample.name.removeprefix("grpc_server_msg_"), sample.labels["grpc_method"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if family.name.endswith("_bytes") and not sample.name.endswith("_bucket")
    }
    assert found == {
        ("received_bytes_count", "Buy"): 2,
        ("received_bytes_sum", "Buy"): 50,
        ("sent_bytes_count", "Buy"): 1,
        ("sent_bytes_sum", "Buy"): 5_000,
    }
