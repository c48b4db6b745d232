"""Each RPC is a span with its status code, and a child of its caller's span."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.gadgets import CANARY, gadget_pb2
from tests.serving import eventually
from tests.tracing.recorded_spans import Traced, trace_of
from tests.tracing.trace_context import Caller

GET = "marketplace.v1.UserService/GetUser"
POKE = "gadget.v1.GadgetService/PokeGadget"
NOBODY = user_pb2.GetUserRequest(name="users/999999")


async def rpc_of(traced: Traced, trace: str) -> ReadableSpan:
    """Return the span of the only RPC of a trace after it has ended, which may be after its caller has left."""

    def ended() -> list[ReadableSpan]:
        return [span for span in traced.spans.of(trace) if span.kind is SpanKind.SERVER]

    await eventually(ended, 30)
    [span] = ended()
    return span


async def code_of(call: Any) -> grpc.StatusCode:
    """Return the status code of a call."""
    code: grpc.StatusCode = await call.code()
    return code


async def test_an_rpc_is_a_child_of_its_caller(traced: Traced) -> None:
    """The span has the caller's trace, parent and state, and OpenTelemetry's attributes for gRPC."""
    caller = Caller()
    assert await code_of(traced.users.GetUser(NOBODY, metadata=caller.metadata)) is grpc.StatusCode.NOT_FOUND
    span = await rpc_of(traced, caller.trace)
    assert (span.name, span.kind) == (GET, SpanKind.SERVER)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == caller.span
    assert span.parent.is_remote
    context = span.get_span_context()
    assert context is not None
    assert dict(context.trace_state) == {"vendor": "opaque"}
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": GET,
        "rpc.response.status_code": "NOT_FOUND",
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    "sent",
    [(), "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"],
    ids=["nothing", "nonsense", "no trace", "no version"],
)
async def test_without_a_trace_context_an_rpc_begins_a_trace(traced: Traced, sent: str) -> None:
    """If a caller sends no valid trace context, it is served, and the span has no parent."""
    metadata = (("traceparent", sent),) if sent else ()
    assert await code_of(traced.users.GetUser(NOBODY, metadata=metadata)) is grpc.StatusCode.NOT_FOUND
    await eventually(lambda: [span for span in traced.spans if span.name == GET])
    [span] = [span for span in traced.spans if span.name == GET]
    assert span.parent is None


async def test_a_fault_of_the_service_is_an_error(traced: Traced) -> None:
    """A fault of the service is an ERROR with the code as `error.type`, without the text of the exception."""
    caller = Caller()
    call = traced.gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="raise"), metadata=caller.metadata)
    assert await code_of(call) is grpc.StatusCode.INTERNAL
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == span.attributes["rpc.response.status_code"] == "INTERNAL"
    assert CANARY not in span.to_json()


async def test_a_passed_deadline_is_an_error(traced: Traced) -> None:
    """An RPC that does not end by its deadline is an ERROR."""
    caller = Caller()
    poke = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=60.0)
    call = traced.gadgets.PokeGadget(poke, metadata=caller.metadata, timeout=1.0)
    assert await code_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


async def test_a_cancelled_call_is_no_error(traced: Traced) -> None:
    """An RPC that its caller cancels has the code CANCELLED, and is not an ERROR."""
    caller = Caller()
    poke = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=60.0)
    call = traced.gadgets.PokeGadget(poke, metadata=caller.metadata)
    labels = {"grpc_service": "gadget.v1.GadgetService", "grpc_method": "PokeGadget"}
    await eventually(lambda: traced.app.registry.get_sample_value("grpc_server_in_flight", labels), 30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert "error.type" not in span.attributes


async def test_an_unsampled_trace_has_no_spans(traced: Traced) -> None:
    """If the caller's trace is not sampled, neither the RPC nor its statement has a span."""
    caller, after = Caller(sampled=False), Caller()
    for metadata in (caller.metadata, after.metadata):
        assert await code_of(traced.users.GetUser(NOBODY, metadata=metadata)) is grpc.StatusCode.NOT_FOUND
    await rpc_of(traced, after.trace)
    assert {trace_of(span) for span in traced.spans} == {after.trace}


async def test_health_checks_have_no_spans(traced: Traced) -> None:
    """A health check is not traced."""
    async with grpc.aio.insecure_channel(traced.app.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    after = Caller()
    assert await code_of(traced.users.GetUser(NOBODY, metadata=after.metadata)) is grpc.StatusCode.NOT_FOUND
    await rpc_of(traced, after.trace)
    assert {trace_of(span) for span in traced.spans} == {after.trace}
