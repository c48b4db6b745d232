"""Counting, timing, naming and tracing each RPC."""

from structlog.contextvars import bind_contextvars

from tablestakes.edge.handler import Context
from tablestakes.telemetry import MethodMetrics, MethodSpans, enter
from tablestakes.telemetry.account import POOL_WAIT


class Observer:
    """Observes the RPCs of one method.

    Args:
        metrics: Counts the RPCs.
        spans: Makes a span of each, None for none. Every line that is logged for an RPC then names its span.
    """

    __slots__ = ("_metrics", "_spans")

    def __init__(self, metrics: MethodMetrics, spans: MethodSpans | None) -> None:
        self._metrics = metrics
        self._spans = spans

    def begin(self, context: Context) -> "Observation":
        """Begin to observe an RPC that has arrived."""
        return Observation(self._metrics, self._spans, context)


class Observation:
    """One RPC that is being observed; it ends however the RPC ends.

    Args:
        metrics: Counts it.
        spans: Makes its span, None for none.
        context: Its context.

    Attributes:
        received: The bytes of its request, as soon as that has come.
        sent: The bytes of its responses, None before the first.
    """

    __slots__ = ("_account", "_metrics", "_span", "received", "sent")

    def __init__(self, metrics: MethodMetrics, spans: MethodSpans | None, context: Context) -> None:
        metrics.started()
        self._metrics = metrics
        self.received = 0
        self.sent: int | None = None
        self._span = None if spans is None else spans.start(context.invocation_metadata() or ())
        if self._span is not None:
            # They end with the RPC's own task, as the account does.
            bind_contextvars(trace_id=self._span.trace_id, span_id=self._span.span_id)
        self._account = enter(metrics)

    @property
    def waited(self) -> float:
        """For how many seconds the RPC has waited for a connection to the database."""
        return self._account.seconds[POOL_WAIT]

    def count_sent(self, size: int) -> None:
        """Count a response.

        Args:
            size: Its bytes.
        """
        self.sent = size + (self.sent or 0)
        self._metrics.sent(size)

    def end(self, code: str) -> float:
        """Count and time the RPC, and return for how many seconds it was served.

        Args:
            code: One of `telemetry.CODES`.
        """
        span = self._span
        exemplar = None if span is None else span.exemplar
        seconds = self._metrics.finish(self._account, code, exemplar, received=self.received)
        if span is not None:
            span.end(code)
        return seconds
