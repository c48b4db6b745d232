"""grpc.health.v1, which probes and load balancers ask."""

import asyncio
from collections.abc import Iterable
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio


class Health(aio.HealthServicer):  # type: ignore[misc] # untyped upstream
    """The health of the server (service "") and of each of its services.

    Args:
        services: The full names of the services.

    Attributes:
        closed: Set once streams are to end.
        reason: Why no calls are to be sent here: `starting`, `draining`, or "" where they are.
    """

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._services = tuple(services)
        self._listed = [""]
        self.closed = asyncio.Event()
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

    def close(self) -> None:
        """End every Watch: a stream that never ends by itself would use up the grace that calls have to end."""
        self.closed.set()

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
        watching = asyncio.ensure_future(super().Watch(request, context))
        closed = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait((watching, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            closed.cancel()
