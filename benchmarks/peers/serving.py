"""Serving a UserService that is written by hand, in a process of its own."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import uvloop
from marketplace.v1 import user_pb2

SERVICE = user_pb2.DESCRIPTOR.services_by_name["UserService"]

Method = Callable[[Any, Any], Awaitable[Any]]
Methods = Mapping[str, Method]


def main(opened: Callable[[str], AbstractAsyncContextManager[Methods]]) -> None:
    """Serve on a free port, and print the address.

    Args:
        opened: Yields the methods by name, given the URL of a database.
    """
    uvloop.run(_serve(opened))


async def _serve(opened: Callable[[str], AbstractAsyncContextManager[Methods]]) -> None:
    async with opened(sys.argv[1]) as methods:
        server = grpc.aio.server()
        # One generic handler: to register each method with gRPC's core costs grpc.aio more for every call.
        handlers = {name: _handler(name, method) for name, method in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(f"127.0.0.1:{port}", flush=True)
        await server.wait_for_termination()


def _handler(name: str, method: Method) -> Any:
    descriptor = SERVICE.methods_by_name[name]
    request, response = (getattr(user_pb2, each.name) for each in (descriptor.input_type, descriptor.output_type))
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
