"""Connections that waste the server's time: silent ones, too many of them, and streams that are reset at once."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from benchmarks.hostile import (
    CALL,
    CANCEL,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    field,
    frame,
)
from tablestakes.app import App
from tablestakes.edge import listen
from tablestakes.edge.arrival import Arrival
from tablestakes.edge.connections import MOST_MISUSED, SUSPECT_MISUSED, Connections
from tablestakes.edge.metadata import MOST_METADATA, metadata_gate
from tablestakes.errors import StatusError
from tablestakes.telemetry import ConnectionMetrics
from tablestakes.testing.serving import eventually
from tests.process import HANGS
from tests.serving import serving, settings_for

ADDRESSES = ("ipv4:10.0.0.1:0", "ipv4:10.0.0.1:7", "ipv4:10.0.0.1:8", "ipv4:10.0.0.2:7")


@asynccontextmanager
async def opened(folder: Path, **given: Any) -> AsyncIterator[App]:
    """Serve on an embedded database."""
    async with serving(settings_for(f"sqlite+aiosqlite:///{folder}/app.db", **given)) as app:
        yield app


async def connect(app: App) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection that has shaken hands."""
    host, _, port = app.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    await reader.read(1)
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the server has ended a connection."""
    try:
        while await reader.read(1 << 16):
            pass
    except ConnectionError:
        return


def count(app: App, reason: str) -> float:
    """Return how many connections were ended for a reason."""
    return app.registry.get_sample_value("rpc_server_connections_ended_total", {"reason": reason}) or 0.0


async def is_served(app: App) -> bool:
    """Return whether a call on a connection of its own is answered."""
    async with grpc.aio.insecure_channel(app.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE])
async def test_a_connection_that_never_shakes_hands_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Whoever connects and says nothing, or only half, keeps the connection for the time of a handshake."""
    shorter = {**listen.OPTIONS, "grpc.server_handshake_timeout_ms": 300}
    assert listen.OPTIONS["grpc.server_handshake_timeout_ms"] <= 10_000
    monkeypatch.setattr(listen, "OPTIONS", shorter)
    async with opened(tmp_path) as app:
        host, _, port = app.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        await ended(reader)
        writer.close()
        assert await is_served(app)


async def test_an_idle_connection_is_ended_and_its_client_connects_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a call for long is ended; a client of gRPC notices nothing of it."""
    assert listen.OPTIONS["grpc.max_connection_idle_ms"] <= 600_000
    monkeypatch.setattr(listen, "OPTIONS", {**listen.OPTIONS, "grpc.max_connection_idle_ms": 300})
    async with opened(tmp_path) as app, grpc.aio.insecure_channel(app.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        await check(health_pb2.HealthCheckRequest())
        reader, writer = await connect(app)
        await ended(reader)
        writer.close()
        await check(health_pb2.HealthCheckRequest())


async def test_streams_that_are_reset_at_once_cost_the_connection(tmp_path: Path) -> None:
    """A caller who opens streams to reset them is cut off, sooner the next time; another one is served."""
    async with opened(tmp_path) as app:
        for turn in (1, 2):
            reader, writer = await connect(app)
            waiting = asyncio.ensure_future(ended(reader))
            for number in range(1, 1 << 20, 2):
                if waiting.done():
                    break
                writer.write(frame(HEADERS, END_HEADERS, number, CALL))
                writer.write(frame(RST_STREAM, 0, number, struct.pack(">I", CANCEL)))
                # A handler has begun by then, which is the cost.
                await asyncio.sleep(0.001)
            await waiting
            writer.close()
            assert count(app, "cancelled_calls") == turn
        assert await is_served(app)


def test_cancelled_calls_are_counted_by_the_second_and_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may cancel many calls, in more than a second or on several connections, before it is suspected."""
    hung: list[str] = []

    def note(_: int, ends: Callable[[str], bool], *, most: int) -> int:
        assert most == 1
        hung.extend(each for each in ADDRESSES if ends(each))
        return 1

    monkeypatch.setattr("tablestakes.edge.connections.hang_up", note)
    now = [0.0]
    connections = Connections(10, ConnectionMetrics(CollectorRegistry()), lambda: now[0])
    connections.port = 1
    for second in range(3):
        now[0] = float(second)
        for number in range(MOST_MISUSED * 2):
            connections.misused(f"ipv4:10.0.0.1:{number % 2}", "cancelled_calls")
    assert not hung
    connections.misused("ipv4:10.0.0.1:0", "cancelled_calls")
    assert hung == ["ipv4:10.0.0.1:0"]
    now[0] = 10.0
    for _ in range(SUSPECT_MISUSED + 1):
        connections.misused("ipv4:10.0.0.1:7", "cancelled_calls")
        connections.misused("ipv4:10.0.0.2:7", "cancelled_calls")
    assert len(hung) == 2, "an address that was cut off once is watched for a while, and others are not"
    now[0] = 100.0
    for _ in range(SUSPECT_MISUSED + 1):
        connections.misused("ipv4:10.0.0.1:8", "cancelled_calls")
    assert len(hung) == 2


async def test_there_are_no_more_connections_than_there_may_be(tmp_path: Path) -> None:
    """Beyond the most connections the youngest end, and those that were there before stay."""
    async with opened(tmp_path, max_connections=10) as app, AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(app.address))
        check = health_pb2_grpc.HealthStub(channel).Check
        await check(health_pb2.HealthCheckRequest())

        def open_now() -> float:
            return app.registry.get_sample_value("rpc_server_connections") or 0.0

        await eventually(lambda: open_now() == 1, 20)
        more = [await connect(app) for _ in range(30)]
        for _, writer in more:
            stack.callback(writer.close)
        await eventually(lambda: count(app, "too_many") == 21, 20)
        await eventually(lambda: open_now() == 10, 20)
        await check(health_pb2.HealthCheckRequest())


async def test_headers_have_a_size_however_many_there_are(tmp_path: Path) -> None:
    """Metadata of more than 16 KiB together is refused, in one piece or in ten."""
    async with opened(tmp_path) as app, grpc.aio.insecure_channel(app.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        many = tuple((f"x-{number}", "v" * 4000) for number in range(10))
        for metadata in (many, (("x-one", "v" * 40_000),)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await check(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=20)
            assert raised.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
        assert len(field("x", "v")) == 5
        assert await is_served(app)


def large(stream: int, pieces: int = 10) -> bytes:
    """Return a call of GetUser with 4 kB of metadata in each of some frames."""
    more = [frame(CONTINUATION, 0, stream, field(f"x-{number}", "v" * 4000)) for number in range(pieces)]
    return frame(HEADERS, END_STREAM, stream, CALL) + b"".join(more) + frame(CONTINUATION, END_HEADERS, stream)


def handled(app: App, code: str) -> float:
    """Return how many calls of GetUser have ended with a code."""
    labels = {"grpc_type": "unary", "grpc_service": "marketplace.v1.UserService", "grpc_method": "GetUser"}
    return app.registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": code}) or 0.0


async def test_headers_in_pieces_have_a_size_too(tmp_path: Path) -> None:
    """A caller who heeds no SETTINGS sends 12 kB of metadata in three frames, and not 40 kB in ten."""
    async with opened(tmp_path) as app:
        _, writer = await connect(app)
        # Both calls have no message.
        writer.write(large(1, pieces=3))
        await eventually(lambda: handled(app, "InvalidArgument") == 1, HANGS)
        writer.write(large(3))
        await eventually(lambda: handled(app, "ResourceExhausted") == 1, HANGS)
        assert handled(app, "InvalidArgument") == 1
        writer.close()


def test_metadata_is_measured_as_http2_measures_it() -> None:
    """A key and a value count with 32 octets besides (RFC 9113, section 6.5.2); one byte more is too much."""
    gate = metadata_gate(Connections(10, ConnectionMetrics(CollectorRegistry())))
    method = cast(Any, None)

    def arrival(*sent: tuple[str, str | bytes]) -> Arrival:
        return Arrival(cast(Any, SimpleNamespace(invocation_metadata=lambda: sent, peer=lambda: "ipv4:10.0.0.1:1")))

    gate(arrival(), method)
    gate(arrival(("x-one", "v" * (MOST_METADATA - 64 - 11)), ("x-two-", b"")), method)
    with pytest.raises(StatusError) as raised:
        gate(arrival(("x-one", "v" * (MOST_METADATA - 64 - 11)), ("x-two-", b"v")), method)
    assert raised.value.reason == "METADATA_TOO_LARGE"
    assert raised.value.metadata["most"] == str(MOST_METADATA)


async def test_headers_without_end_cost_the_connection(tmp_path: Path) -> None:
    """A caller who sends many calls with too much metadata is cut off; another one is served."""
    async with opened(tmp_path) as app:
        reader, writer = await connect(app)
        waiting = asyncio.ensure_future(ended(reader))
        for number in range(1, 1 << 20, 2):
            if waiting.done():
                break
            writer.write(large(number, pieces=5))
            await asyncio.sleep(0.001)
        await waiting
        writer.close()
        assert count(app, "large_metadata") == 1
        assert await is_served(app)
