"""Counting, timing and naming each RPC, around everything else that is done for it."""

import asyncio

import grpc
import structlog

from server.edge.deadline import seconds_left
from server.edge.handler import Context, Handler
from server.telemetry import CODES, MethodMetrics, enter

log = structlog.get_logger()


def observe(handler: Handler, metrics: MethodMetrics) -> Handler:
    """Return the handler with every RPC counted and timed by its outcome, also one whose caller left."""

    async def observed(request: bytes, context: Context) -> bytes:
        metrics.started()
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
            seconds = metrics.finish(account, code)
            log.debug("rpc", rpc=metrics.full_method, code=code, seconds=round(seconds, 6))
        return response

    return observed


def _name(code: grpc.StatusCode | int | None) -> str:
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return CODES[number] if number is not None else "Unknown"
