"""A server that makes spans, and the spans that it has made."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from marketplace.v1 import user_pb2_grpc

from tablestakes.telemetry.otel.tracer import OtelTracer
from tests.gadgets import gadget_pb2_grpc
from tests.serving import create_database, serving, settings_for
from tests.tracing.recorded_spans import Spans, Traced, recording


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
async def running(request: pytest.FixtureRequest, memory: Path) -> AsyncIterator[Traced]:
    """A server with a tracer, on each database."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{memory}/traced.db"
    else:
        url = await create_database(request.getfixturevalue("server_of_postgres"))
    spans = recording()
    async with (
        serving(settings_for(url), tracer=OtelTracer(spans.provider)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        users, gadgets = user_pb2_grpc.UserServiceStub(channel), gadget_pb2_grpc.GadgetServiceStub(channel)
        yield Traced(app, spans, users, gadgets)


@pytest.fixture
def traced(running: Traced) -> Traced:
    """The same server, without any spans so far."""
    running.spans.exporter.clear()
    return running


@pytest.fixture
def spans() -> Spans:
    """The spans of an engine without a server."""
    return recording()
