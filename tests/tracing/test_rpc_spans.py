"""Each RPC is a span, a child of its caller's, that says how it ended."""

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
    """Return the span of the one RPC of a trace, once it has ended: a caller may leave before that."""

    def ended() -> list[ReadableSpan]:
        return [span for span in traced.spans.of(trace) if span.kind is SpanKind.SERVER]

    await eventually(ended)
    [span] = ended()
    return span


async def code_of(call: Any) -> grpc.StatusCode:
    """Return how a call ends."""
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
async def test_without_a_caller_it_begins_a_trace(traced: Traced, sent: str) -> None:
    """A caller that sends no context, or none that can be read, is served, and the trace begins here."""
    metadata = (("traceparent", sent),) if sent else ()
    assert await code_of(traced.users.GetUser(NOBODY, metadata=metadata)) is grpc.StatusCode.NOT_FOUND
    await eventually(lambda: [span for span in traced.spans if span.name == GET])
    [span] = [span for span in traced.spans if span.name == GET]
    assert span.parent is None


async def test_an_error_of_the_server_is_one_of_the_span(traced: Traced) -> None:
    """A fault of the service is an ERROR with its code for a type, and nothing of the exception's text."""
    caller = Caller()
    call = traced.gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="raise"), metadata=caller.metadata)
    assert await code_of(call) is grpc.StatusCode.INTERNAL
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == span.attributes["rpc.response.status_code"] == "INTERNAL"
    assert CANARY not in span.to_json()


async def test_a_deadline_is_an_error_of_the_server(traced: Traced) -> None:
    """A call that does not end by its deadline is an ERROR."""
    caller = Caller()
    poke = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=0.3)
    call = traced.gadgets.PokeGadget(poke, metadata=caller.metadata, timeout=0.1)
    assert await code_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


async def test_a_caller_that_leaves_is_no_error(traced: Traced) -> None:
    """A call that its caller cancels ends as CANCELLED, which is not the server's fault."""
    caller = Caller()
    poke = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=0.3)
    call = traced.gadgets.PokeGadget(poke, metadata=caller.metadata)
    labels = {"grpc_service": "gadget.v1.GadgetService", "grpc_method": "PokeGadget"}
    await eventually(lambda: traced.app.registry.get_sample_value("grpc_server_in_flight", labels))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    span = await rpc_of(traced, caller.trace)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert "error.type" not in span.attributes


async def test_what_is_not_sampled_leaves_no_span(traced: Traced) -> None:
    """Where the caller's trace is not sampled, neither the RPC nor its statement is a span."""
    caller, after = Caller(sampled=False), Caller()
    for metadata in (caller.metadata, after.metadata):
        assert await code_of(traced.users.GetUser(NOBODY, metadata=metadata)) is grpc.StatusCode.NOT_FOUND
    await rpc_of(traced, after.trace)
    assert {trace_of(span) for span in traced.spans} == {after.trace}


async def test_probes_are_no_spans(traced: Traced) -> None:
    """A probe of health comes every few seconds for ever, and is not traced."""
    async with grpc.aio.insecure_channel(traced.app.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    after = Caller()
    assert await code_of(traced.users.GetUser(NOBODY, metadata=after.metadata)) is grpc.StatusCode.NOT_FOUND
    await rpc_of(traced, after.trace)
    assert {trace_of(span) for span in traced.spans} == {after.trace}
