"""Asking a server for its health, as a container's health check does (grpc.health.v1)."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tablestakes.command import CommandError

# A server that listens on every address is asked on the one that no network takes part in.
EVERY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - it is dialled, not listened on


async def ask_health(listen: str, service: str, seconds: float) -> str:
    """Return the health of a service: SERVING.

    Args:
        listen: Where the server listens, `host:port`.
        service: The service's full name; empty for the server as a whole.
        seconds: How long the answer may take.

    Raises:
        CommandError: The service is not SERVING, unknown to the server, or the server did not answer.
    """
    host, _, port = listen.rpartition(":")
    target = f"{EVERY.get(host, host)}:{port}"
    # The server is on this machine, whatever the environment says of proxies.
    async with grpc.aio.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),)) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = await ask(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise CommandError(f"{target} has no service {service}") from None
            raise CommandError(f"{target} does not answer: {error.code().name}, {error.details()}") from None
    status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise CommandError(f"{service or 'the server'} at {target} is {status}")
    return status
