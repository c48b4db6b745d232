"""The gRPC server: its options, its address and its handlers."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tablestakes.crud.encode import MAX_RESPONSE
from tablestakes.edge.door import Door
from tablestakes.edge.handler import RpcHandler
from tablestakes.edge.health import Health
from tablestakes.edge.metadata import MOST_METADATA
from tablestakes.edge.receive import bounded
from tablestakes.edge.reflect import add_reflection

# Bytes. Rows are small: a larger message is a mistake or an attack.
MAX_REQUEST = 1 << 20

# How long the message of a call to health may take to come.
RECEIVE_SECONDS = 10.0

OPTIONS: Mapping[str, int] = {
    "grpc.max_receive_message_length": MAX_REQUEST,
    "grpc.max_send_message_length": MAX_RESPONSE,
    # For one connection. Core counts a stream until it is cleaned up, and resets what comes above: a caller with
    # many calls on one channel must stay well below it.
    "grpc.max_concurrent_streams": 1000,
    # Of the calls that the event loop has yet to take, core cancels some above the first, and all above the second.
    # A caller cannot tell that from a cancellation of its own, so it is left to the streams to bound their number.
    "grpc.server.max_pending_requests": 100_000,
    "grpc.server.max_pending_requests_hard_limit": 200_000,
    # Between a soft and a hard limit that differ, metadata is refused at random.
    "grpc.max_metadata_size": MOST_METADATA,
    "grpc.absolute_max_metadata_size": MOST_METADATA,
    # Two servers on one port would otherwise share it and never say so.
    "grpc.so_reuseport": 0,
    # A caller's keepalive may come every 20 seconds; what we tell callers to use is 30.
    "grpc.http2.min_recv_ping_interval_without_data_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    # For as long as a connection may take until it can carry a call: whoever is silent keeps none.
    "grpc.server_handshake_timeout_ms": 10_000,
    # A client connects anew when it has a call again.
    "grpc.max_connection_idle_ms": 600_000,
}


class BindError(Exception):
    """The address cannot be listened on; the message says which."""


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore] # typed for checkers only
    """Finds the handler of a call by its path, in one look-up.

    No method is registered with gRPC's core (`add_registered_method_handlers`, which generated code also calls): in
    grpcio 1.85 the aio server then waits on one future for each registered method, and does so anew for every call
    that it accepts.

    Args:
        handlers: The handlers by path: `/marketplace.v1.UserService/GetUser`.
    """

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self._handlers = dict(handlers)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, None where its path is none of ours."""
        return self._handlers.get(handler_call_details.method)

    def add_generic_rpc_handlers(self, _handlers: Iterable[Any]) -> None:
        """Do nothing: generated code also gives each handler by its method's name, which is enough."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Take the handlers of a service, by method, that generated code would register with gRPC's core."""
        for method, handler in handlers.items():
            self._handlers[f"/{service}/{method}"] = bounded(handler, RECEIVE_SECONDS)


def listen(
    address: str,
    handlers: Mapping[str, RpcHandler],
    health: Health,
    services: Iterable[str],
    reflect: Door | None,
    credentials: grpc.ServerCredentials | None = None,
) -> tuple[grpc.aio.Server, int]:
    """Return a server that has its address and is yet to be started, and its port.

    Args:
        address: `host:port`; port 0 takes a free one.
        handlers: The handlers by path.
        health: Answers grpc.health.v1.
        services: The full names of the services, for reflection.
        reflect: The door for the streams of reflection, None for no reflection.
        credentials: The server's certificate, None for no TLS.

    Raises:
        BindError: The address is taken, or is not this machine's.
    """
    server = grpc.aio.server(options=tuple(OPTIONS.items()))
    found = Handlers(handlers)
    health_pb2_grpc.add_HealthServicer_to_server(health, found)
    if reflect is not None:
        health_service: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        add_reflection(found, [*services, health_service], reflect)
    server.add_generic_rpc_handlers((found,))
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise BindError(f"cannot listen on {address}: it is in use, or not an address of this machine") from None
    return server, port
