"""The gRPC server itself: its options, its address and its handlers."""

from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tablestakes.edge.handler import RpcHandler
from tablestakes.edge.health import Health
from tablestakes.edge.reflect import add_reflection

# Bytes. Rows are small: what is larger is a mistake or an attack.
MAX_REQUEST, MAX_RESPONSE = 1 << 20, 4 << 20

OPTIONS: Mapping[str, int] = {
    "grpc.max_receive_message_length": MAX_REQUEST,
    "grpc.max_send_message_length": MAX_RESPONSE,
    # For one connection. Core counts a stream until it is cleaned up, and resets what comes above: a caller with
    # many calls on one channel must stay well below it.
    "grpc.max_concurrent_streams": 1000,
    # Between a soft and a hard limit that differ, metadata is refused at random.
    "grpc.max_metadata_size": 16 << 10,
    "grpc.absolute_max_metadata_size": 16 << 10,
    # Two servers on one port would otherwise share it and never say so.
    "grpc.so_reuseport": 0,
    # A caller's keepalive may come every 20 seconds; what we tell callers to use is 30.
    "grpc.http2.min_recv_ping_interval_without_data_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
}


class BindError(Exception):
    """The address cannot be listened on; the message says which."""


def listen(
    address: str,
    handlers: Mapping[str, Mapping[str, RpcHandler]],
    health: Health,
    *,
    reflect: bool,
) -> tuple[grpc.aio.Server, int]:
    """Return a server that has its address and is yet to be started, and the port that it has.

    Args:
        address: `host:port`; port 0 takes a free one.
        handlers: The handlers by service and method.
        health: What grpc.health.v1 says.
        reflect: Whether to serve reflection.

    Raises:
        BindError: The address is taken, or is not this machine's.
    """
    server = grpc.aio.server(options=tuple(OPTIONS.items()))
    for service, methods in handlers.items():
        # As generated code does: by name first, in one look-up, and generic for what looks no name up.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(methods)),))
        server.add_registered_method_handlers(service, dict(methods))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if reflect:
        health_service: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        add_reflection(server, [*handlers, health_service], health.closed)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise BindError(f"cannot listen on {address}: it is in use, or not an address of this machine") from None
    return server, port
