"""An RPC with a stream of responses, from the bytes of its request to the bytes of its last response."""

import asyncio
from typing import Any

import grpc

from tablestakes.crud.call import Call
from tablestakes.crud.encode import encode
from tablestakes.crud.method import Method
from tablestakes.crud.perform import perform_stream
from tablestakes.database.snapshot import Steps
from tablestakes.edge.deadline import seconds_to_serve
from tablestakes.edge.handler import Context, RpcHandler
from tablestakes.edge.rpc import Accepted, Edge, surround
from tablestakes.edge.streams import Streams
from tablestakes.edge.tasks import deadline_exceeded


def stream(method: Method, edge: Edge, streams: Streams) -> RpcHandler:
    """Return the gRPC handler of an RPC with a stream of responses.

    A response is read once the one before it has been taken: gRPC's flow control, which makes a server wait for a
    slow caller, makes the database wait too, and nothing piles up in between. Whatever ends the stream, its
    connection goes back to the pool as soon as the step that is under way has ended.

    Args:
        method: The method.
        edge: The parts of the server that every RPC needs.
        streams: Counts the streams.
    """
    database, tasks = edge.database, edge.tasks

    async def close(steps: Steps[Any]) -> None:
        try:
            await steps.close()
        finally:
            streams.leave()

    async def answer(rpc: Accepted) -> None:
        loop = asyncio.get_running_loop()
        seconds = min(seconds_to_serve(rpc.arrival.seconds_left, streams.longest), streams.longest)
        until = loop.time() + seconds
        call = Call(rpc.request, rpc.arrival.caller)
        steps = await tasks.run(perform_stream(method, call, database, seconds), rpc.unit, seconds)
        streams.enter()
        if rpc.place is not None:
            # From here on it is bounded as a stream: its pace is its caller's, and says nothing of the service.
            rpc.place.release()
        try:
            while (response := await tasks.run(steps.next(), rpc.unit, until - loop.time())) is not None:
                streams.go_on()
                data = encode(response)
                await _send(rpc.context, data, until - loop.time())
                rpc.observation.count_sent(len(data))
        finally:
            closed = tasks.start(close(steps))
        await closed

    # For gRPC's server it has a stream of requests, of which it reads one: see `receive`.
    return grpc.stream_stream_rpc_method_handler(surround(method, edge, answer, "server_stream"))


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
