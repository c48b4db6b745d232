"""Receiving the one message of a unary call, within bounds.

A caller may end its side of a unary call without a message. grpc.aio's unary handlers then never run and never
answer: the call passes every deadline of the server and holds up a drain. So unary methods are registered as
methods with a stream of requests, which is the same on the wire, and the one message is read here. It costs about 1
% of a GetUser.
"""

import asyncio
from typing import Any

import grpc
from grpc import StatusCode

from tablestakes.edge.handler import Context
from tablestakes.edge.tasks import deadline_exceeded
from tablestakes.errors import StatusError


async def receive(context: Context, seconds: float) -> Any:
    """Return the message of a call.

    Args:
        context: The call's context.
        seconds: How long to wait for it; a caller's own deadline ends the call by itself.

    Raises:
        StatusError: INVALID_ARGUMENT, the caller sent none; DEADLINE_EXCEEDED, it did not come in time.
    """
    try:
        async with asyncio.timeout(seconds):
            message: Any = await context.read()
    except TimeoutError:
        raise deadline_exceeded() from None
    if message is grpc.aio.EOF:
        raise StatusError(StatusCode.INVALID_ARGUMENT, "MISSING_REQUEST", "The call has no request message.")
    return message


def bounded(handler: Any, seconds: float) -> Any:
    """Return a handler of generated code for a unary method, such as Health's, that receives within bounds."""
    if handler is None or handler.request_streaming or handler.response_streaming:
        return handler
    serve = handler.unary_unary

    async def handle(_: object, context: Context) -> Any:
        try:
            request = await receive(context, seconds)
        except StatusError as error:
            await context.abort(error.code, error.message)
        return await serve(request, context)

    return grpc.stream_unary_rpc_method_handler(
        handle, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )
