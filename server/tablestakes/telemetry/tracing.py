"""The interface of a tracer, which is opened if the environment requests traces.

OpenTelemetry is imported only in that case.
"""

import os
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy.engine import Engine

from .meter.guard import Guard
from .meter.histogram import Exemplar
from .query import Query

# Traces are requested if one of these is set. The first one that is set is named in error messages.
REQUESTING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Metadata = Iterable[tuple[str, str | bytes]]
"""The metadata of an RPC: lower-case keys and their values."""


class TracingError(Exception):
    """The environment requests traces that cannot be made; the message is one line with the reason."""


class RpcSpan(Protocol):
    """The span of an RPC that has begun.

    Attributes:
        trace_id: The id of its trace, 32 hexadecimal digits; the caller's trace if the caller sent one.
        span_id: Its own id, 16 hexadecimal digits.
        exemplar: Both ids as labels, None if the trace is not sampled.
    """

    trace_id: str
    span_id: str
    exemplar: Exemplar | None

    def end(self, code: str) -> None:
        """End the span with a status code, one of `CODES`."""


class MethodSpans(Protocol):
    """Makes the spans of one method."""

    def start(self, metadata: Metadata) -> RpcSpan | None:
        """Begin the span of an RPC for the running task and the tasks it starts; return None if that fails."""


class DatabaseSpans(Protocol):
    """Makes the spans of one engine from durations that the listeners have measured.

    Nothing is made if the running task has no span, or if its trace is not sampled.
    """

    def statement(
        self, query: Query, text: str, seconds: float, *, sets: int, error: BaseException | None = None
    ) -> Exemplar | None:
        """Make the span of a statement that has just ended.

        Args:
            query: The statement.
            text: Its SQL as it was sent.
            seconds: How long it took.
            sets: The number of its parameter sets; the parameters themselves never reach a span.
            error: The exception that it raised, None for success.

        Returns:
            The exemplar that points to the span, None if there is no span.
        """

    def phase(self, phase: int, seconds: float, error: BaseException | None = None) -> None:
        """Make the span of another phase that has just ended; for a wait for the pool, only if it really waited."""


class Tracer(Protocol):
    """Makes spans and exports them.

    Attributes:
        guard: Counts the failures of the tracer.
    """

    guard: Guard

    def method(self, service: str, method: str) -> MethodSpans:
        """Return the maker of the spans of a method."""

    def database(self, engine: Engine, guard: Guard) -> DatabaseSpans:
        """Return the maker of the spans of an engine; its failures are counted by the guard."""

    def trace_id(self) -> str | None:
        """Return the id of the running task's trace, None if it has none."""

    def close(self, seconds: float) -> bool:
        """Export the remaining spans and stop; block for at most `seconds`, and return whether that was enough."""


def requesting_variable() -> str | None:
    """Return the environment variable that requests traces, None if there is none or another one forbids traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if os.environ.get(REQUESTING[0], "").strip().lower() == "none":
        return None
    return next((name for name in REQUESTING if os.environ.get(name, "").strip()), None)


def open_tracer(service: str, version: str) -> Tracer | None:
    """Return the tracer that the environment requests, by the variables that OpenTelemetry defines.

    Args:
        service: `service.name`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has another.
        version: `service.version`, unless OTEL_RESOURCE_ATTRIBUTES has another.

    Returns:
        The tracer, or None if no traces are requested; then OpenTelemetry is not imported.

    Raises:
        TracingError: A package is not installed, or a variable has an invalid value.
    """
    variable = requesting_variable()
    if variable is None:
        return None
    try:
        from .otel.provider import tracer_from_environment  # noqa: PLC0415 - OpenTelemetry is optional
    except ModuleNotFoundError as error:
        raise TracingError(
            f"{variable} asks for traces, but {error.name} is not installed; the extra `otel` has it"
        ) from None
    except ValueError as error:
        raise TracingError(f"OTEL_PROPAGATORS: {error}") from None
    return tracer_from_environment(service, version)
