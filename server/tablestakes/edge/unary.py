"""A unary RPC, from the bytes of its request to the bytes of its response."""

import grpc

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.perform import perform
from tablestakes.database.deadline import set_deadline
from tablestakes.edge.deadline import seconds_to_serve
from tablestakes.edge.first_sent import first_sent
from tablestakes.edge.handler import RpcHandler
from tablestakes.edge.rpc import Accepted, Edge, surround

REPLAYED = ("idempotent-replayed", "true")
"""The initial metadata of an answer that an earlier call with the same request id was given."""


def unary(method: Method, edge: Edge) -> RpcHandler:
    """Return the gRPC handler of a unary RPC.

    Args:
        method: The method.
        edge: The parts of the server that every RPC needs.
    """
    database, tasks, default_deadline = edge.database, edge.tasks, edge.default_deadline
    once, request_id = edge.once, method.asks.request_id

    async def answer(rpc: Accepted) -> bytes:
        arrival, request = rpc.arrival, rpc.request
        seconds = seconds_to_serve(arrival.seconds_left, default_deadline)
        set_deadline(seconds)
        call = Call(request, arrival.caller, first_sent(arrival) if request_id(request) else None)
        reply = await tasks.run(perform(method, call, database, once), rpc.unit, seconds)
        if reply.replayed:
            await rpc.context.send_initial_metadata((REPLAYED,))
        rpc.observation.count_sent(len(reply.data))
        return reply.data

    # For gRPC's server it has a stream of requests, of which it reads one: see `receive`.
    return grpc.stream_unary_rpc_method_handler(surround(method, edge, answer))
