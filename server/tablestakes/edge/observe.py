"""Counting, timing, naming and tracing each RPC, around everything else that is done for it."""

import asyncio

import grpc
import structlog
from structlog.contextvars import bind_contextvars

from tablestakes.edge.deadline import seconds_left
from tablestakes.edge.handler import Context, Handler
from tablestakes.telemetry import CODES, MethodMetrics, MethodSpans, enter

log = structlog.get_logger()


def observe(handler: Handler, metrics: MethodMetrics, spans: MethodSpans | None = None) -> Handler:
    """Return the handler with every RPC counted and timed by its outcome, also one whose caller left.

    Args:
        handler: The handler.
        metrics: Where the RPCs are counted.
        spans: Makes a span of each, None for none. Every line that is logged for an RPC then names its span.
    """

    async def observed(request: bytes, context: Context) -> bytes:
        metrics.started()
        span = None if spans is None else spans.start(context.invocation_metadata() or ())
        if span is not None:
            # As the account, they end with the RPC's own task.
            bind_contextvars(trace_id=span.trace_id, span_id=span.span_id)
        account = enter(metrics)
        code = "Unknown"
        try:
            response = await handler(request, context)
            code = "OK"
        except grpc.aio.AbortError:
            code = _name(context.code())
            raise
        except asyncio.CancelledError:
            # grpc.aio says it the same way when the caller left and when the caller's deadline passed.
            remaining = seconds_left(context)
            code = "DeadlineExceeded" if remaining is not None and remaining <= 0 else "Canceled"
            raise
        finally:
            seconds = metrics.finish(account, code, None if span is None else span.exemplar)
            log.debug("rpc", rpc=metrics.full_method, code=code, seconds=round(seconds, 6))
            if span is not None:
                span.end(code)
        return response

    return observed


def _name(code: grpc.StatusCode | int | None) -> str:
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return CODES[number] if number is not None else "Unknown"
