"""The span of an RPC: a child of its caller's, and the parent of all that the RPC does."""

from opentelemetry.context import Context, attach
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from ..meter.guard import Guard
from ..meter.histogram import Exemplar
from ..rpc.method import CODES
from ..tracing import Metadata

# gRPC's own spelling of `CODES`, in the order of their numbers.
_SPELLED = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_STATUS = dict(zip(CODES, _SPELLED, strict=True))
# What is an error of a server by the conventions for gRPC; with any other code it did what it should.
_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class OtelMethod:
    """Makes the spans of one method.

    Args:
        tracer: Starts them.
        propagator: Reads the context that a caller sends.
        guard: Keeps failures of the tracing from the RPC.
        name: The method's full name, `marketplace.v1.UserService/GetUser`.
    """

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, guard: Guard, name: str) -> None:
        self._tracer = tracer
        self._propagator = propagator
        self._guard = guard
        self._name = name
        self._attributes = {"rpc.system.name": "grpc", "rpc.method": name}

    def start(self, metadata: Metadata) -> "OtelRpc | None":
        """Begin the span of an RPC, for the running task and those it starts; None where that fails."""
        try:
            # From nothing: whatever was current where the server was started is not the RPC's parent.
            caller = self._propagator.extract(metadata, Context(), _GETTER)
            span = self._tracer.start_span(self._name, caller, SpanKind.SERVER, self._attributes)
            # Never detached: it ends with the RPC's own task.
            attach(set_span_in_context(span, caller))
            return OtelRpc(span, self._guard)
        except Exception:  # noqa: BLE001 - as Guard.wrap, with a result
            self._guard.failed("rpc span")
            return None


class OtelRpc:
    """The span of an RPC that has begun.

    Attributes:
        trace_id: Of its trace, 32 hexadecimal digits; the caller's, where the caller sent one.
        span_id: Its own, 16 hexadecimal digits.
        exemplar: The same as labels, None where the trace is not sampled.
    """

    __slots__ = ("_guard", "_span", "exemplar", "span_id", "trace_id")

    def __init__(self, span: Span, guard: Guard) -> None:
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.span_id = format_span_id(context.span_id)
        self.exemplar: Exemplar | None = None
        if context.trace_flags.sampled:
            self.exemplar = {"trace_id": self.trace_id, "span_id": self.span_id}
        self._span = span
        self._guard = guard

    def end(self, code: str) -> None:
        """End it, with one of `CODES`."""
        try:
            span, status = self._span, _STATUS.get(code, "UNKNOWN")
            span.set_attribute("rpc.response.status_code", status)
            if status in _ERRORS:
                span.set_attribute("error.type", status)
                span.set_status(StatusCode.ERROR)
            span.end()
        except Exception:  # noqa: BLE001 - a processor or an exporter of any kind may sit behind it
            self._guard.failed("rpc span")


class _MetadataGetter(Getter[Metadata]):
    def get(self, carrier: Metadata, key: str) -> list[str] | None:
        # Bytes are what keys that end in -bin have, and no propagator asks for those.
        return [value for name, value in carrier if name == key and isinstance(value, str)] or None

    def keys(self, carrier: Metadata) -> list[str]:
        return [name for name, _ in carrier]


_GETTER = _MetadataGetter()
