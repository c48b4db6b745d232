"""A unary RPC, from the bytes of its request to the bytes of its response."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.perform import perform
from tablestakes.database import Database
from tablestakes.database.deadline import set_deadline
from tablestakes.database.unit import Unit
from tablestakes.edge.access_log import AccessLog
from tablestakes.edge.answer import abort
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.edge.deadline import seconds_to_serve
from tablestakes.edge.door import Door
from tablestakes.edge.encode import encode
from tablestakes.edge.handler import Context, RpcHandler
from tablestakes.edge.intake import intake
from tablestakes.edge.observe import Observer
from tablestakes.edge.tasks import Tasks
from tablestakes.edge.translate import translate
from tablestakes.telemetry import CODES, RpcMetrics, Tracer


@dataclass(frozen=True)
class Edge:
    """The parts of a server that every RPC needs.

    Attributes:
        database: The database that it works on.
        tasks: Keeps its task until it ends.
        door: Lets it in, until the server drains.
        metrics: Counts it.
        gates: Let it through, or refuse it, in their order.
        default_deadline: Seconds for callers that set no deadline.
        tracer: Makes a span of it, None for none.
        access_log: Logs it, None for no line.
    """

    database: Database
    tasks: Tasks
    door: Door
    metrics: RpcMetrics
    gates: Sequence[Gate] = ()
    default_deadline: float = 10.0
    tracer: Tracer | None = None
    access_log: AccessLog | None = None


def unary(method: Method, edge: Edge) -> RpcHandler:
    """Return the gRPC handler of a unary RPC.

    Everything that surrounds the RPC is composed here, once, at start: grpc.aio would run a chain of interceptors
    anew for each call. It is registered without parser and serializer: grpc.aio would send the exception of a
    request that does not parse to its caller.

    Args:
        method: The method.
        edge: The parts of the server that every RPC needs.
    """
    spans = None if edge.tracer is None else edge.tracer.method(method.service, method.name)
    observer = Observer(edge.metrics.method(method.service, method.name), spans)
    take_in = intake(method, edge.door, edge.gates, edge.default_deadline)
    database, tasks, default_deadline = edge.database, edge.tasks, edge.default_deadline
    access_log = edge.access_log

    async def handle(_: object, context: Context) -> bytes:
        observation, arrival, unit, code = observer.begin(context), Arrival(context), Unit(), "Unknown"
        sent: int | None = None
        request: Any = None
        reason = ""
        try:
            request = await take_in(context, arrival, observation)
            seconds = seconds_to_serve(arrival.seconds_left, default_deadline)
            set_deadline(seconds)
            response = await tasks.run(perform(method, Call(request, arrival.caller), database), unit, seconds)
            answer = encode(response)
            code, sent = "OK", len(answer)
        except asyncio.CancelledError:
            code = code_of_cancelled(arrival)
            raise
        except Exception as error:  # noqa: BLE001 - grpc.aio would send an exception's class and text to the caller
            status = translate(error, method, unit)
            code, reason = CODES[status.code.value[0]], status.reason
            await abort(context, status, method.domain)
        finally:
            seconds = observation.end(code, sent)
            if access_log is not None:
                received = observation.received
                access_log.write(
                    method, arrival, code, seconds, request=request, reason=reason, received=received, sent=sent
                )
        return answer

    # For gRPC's server it has a stream of requests, of which it reads one: see `receive`.
    return grpc.stream_unary_rpc_method_handler(handle)


def code_of_cancelled(arrival: Arrival) -> str:
    """Return the name of the code of a call that grpc.aio has cancelled.

    It cancels alike when the caller leaves and when the caller's deadline passes.
    """
    left = arrival.seconds_left
    return "DeadlineExceeded" if left is not None and left <= 0 else "Canceled"
