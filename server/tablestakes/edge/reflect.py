"""gRPC reflection, whose streams end with the server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from tablestakes.edge.handler import Context


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc] # untyped upstream
    """Tells tools the services and messages; an idle stream of theirs does not outlast `closed`.

    Args:
        services: The full names of the services.
        closed: Set when the server is about to stop.
    """

    def __init__(self, services: list[str], closed: asyncio.Event) -> None:
        super().__init__(services)
        self._closed = closed

    async def ServerReflectionInfo(  # noqa: N802 - the RPC's name
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Answer each question of a stream until its caller has no more, or the server stops."""
        async for answer in super().ServerReflectionInfo(self._until_closed(request_iterator), context):
            yield answer

    async def _until_closed(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        closed = asyncio.ensure_future(self._closed.wait())
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


def add_reflection(server: Any, services: list[str], closed: asyncio.Event) -> None:
    """Serve reflection for some services, and for itself, on a server or what stands for one."""
    servicer = Reflection([*services, reflection.SERVICE_NAME], closed)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
