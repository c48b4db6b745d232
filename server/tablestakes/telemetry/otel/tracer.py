"""The tracer, made of a provider of OpenTelemetry and of a reader for the context that callers send."""

from threading import Thread

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.engine import Engine

from ..meter.guard import Guard
from ..version import VERSION
from .database import OtelDatabase
from .method import OtelMethod


class OtelTracer:
    """Makes spans with a provider, which samples, batches and exports them.

    Args:
        provider: The provider.
        propagator: Reads the context that a caller sends; None for W3C Trace Context.

    Attributes:
        guard: Counts the failures of the tracer.
    """

    def __init__(self, provider: TracerProvider, propagator: TextMapPropagator | None = None) -> None:
        self._provider = provider
        self._propagator = propagator or TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("tablestakes.telemetry", VERSION, schema_url=Schemas.V1_44_0.value)
        self.guard = Guard()

    def method(self, service: str, method: str) -> OtelMethod:
        """Return the maker of the spans of a method."""
        return OtelMethod(self._tracer, self._propagator, self.guard, f"{service}/{method}")

    def database(self, engine: Engine, guard: Guard) -> OtelDatabase:
        """Return the maker of the spans of an engine; its failures are counted by the guard."""
        return OtelDatabase(self._tracer, guard, engine)

    def trace_id(self) -> str | None:
        """Return the id of the running task's trace, None if it has none."""
        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def close(self, seconds: float) -> bool:
        """Export the remaining spans and stop; block for at most `seconds`, and return whether that was enough."""
        # The provider's shutdown has no time limit, and takes long if the collector does not answer. A daemon
        # thread does not keep the process alive.
        shutdown = self.guard.wrap("shutdown", self._provider.shutdown)
        thread = Thread(target=shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()
