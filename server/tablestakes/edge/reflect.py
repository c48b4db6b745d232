"""gRPC reflection in both of its versions, whose streams end with the server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from tablestakes.edge.door import Door
from tablestakes.edge.handler import Context

V1 = "grpc.reflection.v1.ServerReflection"
"""The full name of the service that replaces v1alpha's."""


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc] # untyped upstream
    """Tells tools the services and messages; an idle stream of theirs does not outlast the door.

    Args:
        services: The full names of the services.
        door: Counts every stream, and ends it once it is shut.
    """

    def __init__(self, services: list[str], door: Door) -> None:
        super().__init__(services)
        self._door = door

    async def ServerReflectionInfo(  # noqa: N802 - the RPC's name
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Answer each question of a stream until its caller has no more, or the server stops."""
        self._door.count(context)
        async for answer in super().ServerReflectionInfo(self._until_closed(request_iterator), context):
            yield answer

    async def _until_closed(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        closed = asyncio.ensure_future(self._door.closed.wait())
        try:
            while True:
                following = asyncio.ensure_future(anext(requests, None))
                await asyncio.wait((following, closed), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    return
                if (request := following.result()) is None:
                    return
                yield request
        finally:
            closed.cancel()


def add_reflection(server: Any, services: list[str], door: Door) -> None:
    """Serve reflection for some services, and for itself, on a server or what stands for one."""
    _describe_v1()
    servicer = Reflection([*services, reflection.SERVICE_NAME, V1], door)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    # The messages of v1 are those of v1alpha by other names, and names are not sent.
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, handlers),))
    server.add_registered_method_handlers(V1, handlers)


def _describe_v1() -> None:
    """Make the descriptor of v1, for tools that ask for it, from that of v1alpha; grpcio-reflection has none."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        alpha = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        spelt = text_format.MessageToString(alpha).replace("v1alpha", "v1")
        file = text_format.Parse(spelt, descriptor_pb2.FileDescriptorProto())
        file.options.ClearField("deprecated")
        pool.Add(file)
