"""An RPC with a stream of responses, from the bytes of its request to the bytes of its last response."""

import asyncio
from typing import Any

import grpc

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.perform import perform_stream
from tablestakes.database.snapshot import Steps
from tablestakes.database.unit import Unit
from tablestakes.edge.answer import abort
from tablestakes.edge.arrival import Arrival
from tablestakes.edge.deadline import seconds_to_serve
from tablestakes.edge.encode import encode
from tablestakes.edge.handler import Context, RpcHandler
from tablestakes.edge.intake import intake
from tablestakes.edge.observe import Observer
from tablestakes.edge.streams import Streams
from tablestakes.edge.tasks import deadline_exceeded
from tablestakes.edge.translate import translate
from tablestakes.edge.unary import Edge, code_of_cancelled
from tablestakes.telemetry import CODES


def stream(method: Method, edge: Edge, streams: Streams) -> RpcHandler:
    """Return the gRPC handler of an RPC with a stream of responses; it does for each call what `unary` does.

    A response is read once the one before it has been taken: gRPC's flow control, which makes a server wait for a
    slow caller, makes the database wait too, and nothing piles up in between. Whatever ends the stream, its
    connection goes back to the pool as soon as the step that is under way has ended.

    Args:
        method: The method.
        edge: The parts of the server that every RPC needs.
        streams: Counts the streams.
    """
    spans = None if edge.tracer is None else edge.tracer.method(method.service, method.name)
    observer = Observer(edge.metrics.method(method.service, method.name, "server_stream"), spans)
    take_in = intake(method, edge.door, edge.gates, edge.default_deadline)
    database, tasks, access_log = edge.database, edge.tasks, edge.access_log

    async def close(steps: Steps[Any]) -> None:
        try:
            await steps.close()
        finally:
            streams.leave()

    async def handle(_: object, context: Context) -> None:
        observation, arrival, unit, code = observer.begin(context), Arrival(context), Unit(), "Unknown"
        request: Any = None
        reason, sent, loop = "", 0, asyncio.get_running_loop()
        try:
            request = await take_in(context, arrival, observation)
            seconds = min(seconds_to_serve(arrival.seconds_left, streams.longest), streams.longest)
            until = loop.time() + seconds
            call = Call(request, arrival.caller)
            steps = await tasks.run(perform_stream(method, call, database, seconds), unit, seconds)
            streams.enter()
            try:
                while (response := await tasks.run(steps.next(), unit, until - loop.time())) is not None:
                    streams.go_on()
                    data = encode(response)
                    await _send(context, data, until - loop.time())
                    observation.sent(len(data))
                    sent += len(data)
            finally:
                closed = tasks.start(close(steps))
            await closed
            code = "OK"
        except asyncio.CancelledError:
            code = code_of_cancelled(arrival)
            raise
        except Exception as error:  # noqa: BLE001 - grpc.aio would send an exception's class and text to the caller
            status = translate(error, method, unit)
            code, reason = CODES[status.code.value[0]], status.reason
            await abort(context, status, method.domain)
        finally:
            seconds = observation.end(code)
            if access_log is not None:
                received = observation.received
                access_log.write(
                    method, arrival, code, seconds, request=request, reason=reason, received=received, sent=sent
                )

    # For gRPC's server it has a stream of requests, of which it reads one: see `receive`.
    return grpc.stream_stream_rpc_method_handler(handle)


async def _send(context: Context, data: bytes, seconds: float) -> None:
    """Send a response, once the caller has room for it.

    Raises:
        StatusError: DEADLINE_EXCEEDED, the caller had none in time.
    """
    try:
        async with asyncio.timeout(seconds):
            await context.write(data)
    except TimeoutError:
        raise deadline_exceeded() from None
