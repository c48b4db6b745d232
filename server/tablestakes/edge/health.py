"""grpc.health.v1, which probes and load balancers ask."""

import asyncio
from collections.abc import Iterable
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from tablestakes.edge.door import Door


class Health(aio.HealthServicer):  # type: ignore[misc] # untyped upstream
    """The health of the server (service "") and of each of its services.

    Args:
        services: The full names of the services.
        door: Counts every Watch, and ends it once it is shut: a stream that never ends by itself would use up the
            grace that calls have to end.

    Attributes:
        reason: Why no calls are to be sent here: `starting`, `draining`, or "" where they are.
    """

    def __init__(self, services: Iterable[str], door: Door) -> None:
        super().__init__()
        self._services = tuple(services)
        self._listed = [""]
        self._door = door
        self.reason = "starting"

    async def serving(self) -> None:
        """Say that every service is SERVING."""
        for service in self._services:
            await self.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._listed = list(dict.fromkeys(("", *self._services)))
        self.reason = ""

    async def draining(self) -> None:
        """Say that every service is NOT_SERVING, for good."""
        self.reason = "draining"
        await self.enter_graceful_shutdown()

    async def List(  # noqa: N802 - the RPC's name
        self, _request: health_pb2.HealthListRequest, context: Any
    ) -> health_pb2.HealthListResponse:
        """Answer with the health of the server and of each of its services."""
        statuses = {
            name: await self.Check(health_pb2.HealthCheckRequest(service=name), context) for name in self._listed
        }
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802 - the RPC's name
        """Stream the health of a service until the caller leaves or the server does."""
        self._door.count(context)
        stream = _Stream(context)
        watching = asyncio.ensure_future(super().Watch(request, stream))
        closed = asyncio.ensure_future(self._door.closed.wait())
        try:
            await asyncio.wait((watching, closed), return_when=asyncio.FIRST_COMPLETED)
            # gRPC takes no end of a stream while a message is on its way.
            async with stream.writing:
                watching.cancel()
        finally:
            watching.cancel()
            closed.cancel()


class _Stream:
    """The context of a Watch, which tells when nothing is being written to it."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.writing = asyncio.Lock()

    def done(self) -> bool:
        """Return whether the call has ended."""
        return bool(self._context.done())

    async def write(self, message: health_pb2.HealthCheckResponse) -> None:
        """Send a message."""
        async with self.writing:
            await self._context.write(message)
