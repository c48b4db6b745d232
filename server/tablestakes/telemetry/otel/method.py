"""The span of an RPC: a child of its caller's span, and the parent of all spans that the RPC makes."""

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

# gRPC's own names of `CODES`, in the order of their numbers.
_GRPC_NAMES = (
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
_STATUS = dict(zip(CODES, _GRPC_NAMES, strict=True))
# The codes that are errors of a server by the conventions for gRPC; with any other code the server did its work.
_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class OtelMethod:
    """Makes the spans of one method.

    Args:
        tracer: Starts them.
        propagator: Reads the context that a caller sends.
        guard: Catches failures of the tracing, so that no RPC fails because of one.
        name: The full name of the method, `marketplace.v1.UserService/GetUser`.
    """

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, guard: Guard, name: str) -> None:
        self._tracer = tracer
        self._propagator = propagator
        self._guard = guard
        self._name = name
        self._attributes = {"rpc.system.name": "grpc", "rpc.method": name}

    def start(self, metadata: Metadata) -> "OtelRpc | None":
        """Begin the span of an RPC for the running task and the tasks it starts; return None if that fails."""
        try:
            # Start from an empty context: a span that was current when the server was started is not the parent.
            caller = self._propagator.extract(metadata, Context(), _GETTER)
            span = self._tracer.start_span(self._name, caller, SpanKind.SERVER, self._attributes)
            # It need not be detached: the context ends with the RPC's own task.
            attach(set_span_in_context(span, caller))
            return OtelRpc(span, self._guard)
        except Exception:  # noqa: BLE001 - as Guard.wrap, but with a result
            self._guard.failed("rpc span")
            return None


class OtelRpc:
    """The span of an RPC that has begun.

    Attributes:
        trace_id: The id of its trace, 32 hexadecimal digits; the caller's trace if the caller sent one.
        span_id: Its own id, 16 hexadecimal digits.
        exemplar: Both ids as labels, None if the trace is not sampled.
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
        """End the span with a status code, one of `CODES`."""
        try:
            span, status = self._span, _STATUS.get(code, "UNKNOWN")
            span.set_attribute("rpc.response.status_code", status)
            if status in _ERRORS:
                span.set_attribute("error.type", status)
                span.set_status(StatusCode.ERROR)
            span.end()
        except Exception:  # noqa: BLE001 - ending a span may call any processor and exporter
            self._guard.failed("rpc span")


class _MetadataGetter(Getter[Metadata]):
    def get(self, carrier: Metadata, key: str) -> list[str] | None:
        # Only keys that end in -bin have bytes as values, and no propagator reads such keys.
        return [value for name, value in carrier if name == key and isinstance(value, str)] or None

    def keys(self, carrier: Metadata) -> list[str]:
        return [name for name, _ in carrier]


_GETTER = _MetadataGetter()
