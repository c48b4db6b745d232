"""What a tracer is told, and how the environment asks for one. Only then is OpenTelemetry imported."""

import os
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy.engine import Engine

from .meter.guard import Guard
from .meter.histogram import Exemplar
from .query import Query

# The first that is set, in this order, says that traces are wanted, as any SDK of OpenTelemetry reads them.
ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Metadata = Iterable[tuple[str, str | bytes]]
"""What the caller of an RPC sent along: lower-case keys and their values."""


class TracingError(Exception):
    """The environment asks for traces that cannot be had; the message is one line that says why."""


class RpcSpan(Protocol):
    """The span of an RPC that has begun.

    Attributes:
        trace_id: Of its trace, 32 hexadecimal digits; the caller's, where the caller sent one.
        span_id: Its own, 16 hexadecimal digits.
        exemplar: The same as labels, None where the trace is not sampled.
    """

    trace_id: str
    span_id: str
    exemplar: Exemplar | None

    def end(self, code: str) -> None:
        """End it, with one of `CODES`."""


class MethodSpans(Protocol):
    """Makes the spans of one method."""

    def start(self, metadata: Metadata) -> RpcSpan | None:
        """Begin the span of an RPC, for the running task and those it starts; None where that fails."""


class DatabaseSpans(Protocol):
    """Makes the spans of what one engine does, once it is done, from the times that the listeners took anyway.

    Where the task that did it has no span, or its trace is not sampled, there is none.
    """

    def statement(
        self, query: Query, text: str, seconds: float, *, sets: int, error: BaseException | None = None
    ) -> Exemplar | None:
        """Tell of a statement that has just ended.

        Args:
            query: The statement.
            text: Its SQL as it was sent.
            seconds: How long it took.
            sets: How many sets of parameters went with it; the parameters themselves are nobody's business.
            error: What it raised.

        Returns:
            What points to its span.
        """

    def phase(self, phase: int, seconds: float, error: BaseException | None = None) -> None:
        """Tell of another phase of `account` that has just ended: of a wait for the pool only if it was one."""


class Tracer(Protocol):
    """Makes spans, and sends them somewhere.

    Attributes:
        guard: Counts its failures.
    """

    guard: Guard

    def method(self, service: str, method: str) -> MethodSpans:
        """Return what makes the spans of a method."""

    def database(self, engine: Engine, guard: Guard) -> DatabaseSpans:
        """Return what makes the spans of an engine; its own failures are the guard's."""

    def trace_id(self) -> str | None:
        """Return the trace that the running task belongs to, None if to none."""

    def close(self, seconds: float) -> bool:
        """Send what is left, and stop; return whether that was done in so many seconds. It blocks."""


def asked() -> str | None:
    """Return the environment variable that asks for traces, None where none does or another one forbids them."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if os.environ.get(ASKING[0], "").strip().lower() == "none":
        return None
    return next((name for name in ASKING if os.environ.get(name, "").strip()), None)


def open_tracer(service: str, version: str) -> Tracer | None:
    """Return the tracer that the environment asks for, by the variables that OpenTelemetry defines.

    Args:
        service: `service.name`, where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say nothing else.
        version: `service.version`, likewise.

    Returns:
        The tracer, or None where no traces are asked for: then nothing of OpenTelemetry was imported.

    Raises:
        TracingError: A package is not installed, or a variable has a bad value.
    """
    variable = asked()
    if variable is None:
        return None
    try:
        from .otel.provider import provide  # noqa: PLC0415 - only who asks for it needs it, and pays for it
    except ModuleNotFoundError as error:
        raise TracingError(
            f"{variable} asks for traces, but {error.name} is not installed; the extra `otel` has it"
        ) from None
    except ValueError as error:
        raise TracingError(f"OTEL_PROPAGATORS: {error}") from None
    return provide(service, version)
