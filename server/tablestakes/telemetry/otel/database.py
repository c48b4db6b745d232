"""The spans of statements, COMMIT, ROLLBACK, connects and waits for a connection."""

from time import time_ns

from opentelemetry.trace import (
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from sqlalchemy.engine import Engine

from ..account import COMMIT, CONNECT, PHASES, POOL_WAIT, ROLLBACK
from ..engine.failure import error_type, response_code
from ..engine.identity import identity_of
from ..meter.guard import Guard
from ..meter.histogram import SECONDS, Exemplar
from ..query import RAW, Query

Attributes = dict[str, str | int]
_MAX_TEXT = 2_000
_OPERATIONS = {COMMIT: "COMMIT", ROLLBACK: "ROLLBACK"}
# Seconds. A pool at its maximum reports a wait even if a connection is idle: shorter waits are not waits.
_SHORTEST_WAIT = SECONDS[0]


class OtelDatabase:
    """Makes the spans of one engine.

    A span is made after the operation has ended, with a start time computed from the duration that the listeners
    measured, so nothing is timed twice.

    A span is a child of the current span of its task if the trace is sampled, even if that parent has ended: the
    work of an RPC may continue after the RPC was answered, and then its spans are needed most.

    Args:
        tracer: Starts the spans.
        guard: Catches failures of the tracing, so that no statement fails because of one.
        engine: The engine, whose URL names the server and the database.
    """

    def __init__(self, tracer: Tracer, guard: Guard, engine: Engine) -> None:
        self._tracer = tracer
        self._guard = guard
        found = identity_of(engine)
        self._common: Attributes = {"db.system.name": found.system}
        if found.namespace:
            self._common["db.namespace"] = found.namespace
        if found.address:
            self._common["server.address"] = found.address
        if found.port:
            self._common["server.port"] = int(found.port)

    def statement(
        self, query: Query, text: str, seconds: float, *, sets: int, error: BaseException | None = None
    ) -> Exemplar | None:
        """Make the span of a statement that has just ended, and return its exemplar."""
        try:
            if not _sampled():
                return None
            name, collection = query.operation
            attributes = self._common | {"db.operation.name": name}
            if collection and collection != RAW:
                attributes["db.collection.name"] = collection
                name = f"{name} {collection}"
            if sets or collection != RAW:
                # The text of handwritten SQL without parameters is left out: it may contain values.
                attributes["db.query.text"] = text[:_MAX_TEXT]
            if sets > 1:
                attributes["db.operation.batch.size"] = sets
            return self._record(name, SpanKind.CLIENT, attributes, seconds, error)
        except Exception:  # noqa: BLE001 - as Guard.wrap, but with a result
            self._guard.failed("statement span")
            return None

    def phase(self, phase: int, seconds: float, error: BaseException | None = None) -> None:
        """Make the span of another phase that has just ended; for a wait for the pool, only if it really waited."""
        try:
            if (phase == POOL_WAIT and seconds < _SHORTEST_WAIT and error is None) or not _sampled():
                return
            attributes, name = self._common, PHASES[phase]
            if phase in _OPERATIONS:
                name = _OPERATIONS[phase]
                attributes = attributes | {"db.operation.name": name}
            kind = SpanKind.CLIENT if phase in (CONNECT, *_OPERATIONS) else SpanKind.INTERNAL
            self._record(name, kind, attributes, seconds, error)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("phase span")

    def _record(
        self, name: str, kind: SpanKind, attributes: Attributes, seconds: float, error: BaseException | None
    ) -> Exemplar | None:
        if error is not None:
            # The span has only the kind of error, because its message may quote values.
            attributes = attributes | {"error.type": error_type(error)}
            if code := response_code(error):
                attributes["db.response.status_code"] = code
        end = time_ns()
        start = end - round(seconds * 1e9)
        span = self._tracer.start_span(name, None, kind, attributes, start_time=start)
        if error is not None:
            span.set_status(StatusCode.ERROR)
        span.end(end)
        context = span.get_span_context()
        if not context.trace_flags.sampled:
            return None
        return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def _sampled() -> bool:
    return get_current_span().get_span_context().trace_flags.sampled
