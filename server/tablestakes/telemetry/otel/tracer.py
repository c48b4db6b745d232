"""The tracer: a provider of OpenTelemetry, and the context that callers send."""

from threading import Thread

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.engine import Engine

from ..meter.guard import Guard
from .database import OtelDatabase
from .method import OtelMethod


class OtelTracer:
    """Makes spans by a provider, which samples, batches and exports them.

    Args:
        provider: The provider.
        propagator: Reads the context that a caller sends; None for W3C Trace Context.

    Attributes:
        guard: Counts its failures.
    """

    def __init__(self, provider: TracerProvider, propagator: TextMapPropagator | None = None) -> None:
        self._provider = provider
        self._propagator = propagator or TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("tablestakes.telemetry", schema_url=Schemas.V1_44_0.value)
        self.guard = Guard()

    def method(self, service: str, method: str) -> OtelMethod:
        """Return what makes the spans of a method."""
        return OtelMethod(self._tracer, self._propagator, self.guard, f"{service}/{method}")

    def database(self, engine: Engine, guard: Guard) -> OtelDatabase:
        """Return what makes the spans of an engine; its own failures are the guard's."""
        return OtelDatabase(self._tracer, guard, engine)

    def trace_id(self) -> str | None:
        """Return the trace that the running task belongs to, None if to none."""
        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def close(self, seconds: float) -> bool:
        """Send what is left, and stop; return whether that was done in so many seconds. It blocks."""
        # The provider knows no bound of its own, and a collector that is away would make it a long wait. A daemon
        # does not keep the process.
        shutdown = self.guard.wrap("shutdown", self._provider.shutdown)
        thread = Thread(target=shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()
