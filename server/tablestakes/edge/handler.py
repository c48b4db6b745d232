"""What the wrappers wrap. Strings, because grpc's classes are generic for type checkers only."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What grpc.aio knows of the RPC."""

Handler = Callable[[bytes, Context], Awaitable[bytes]]
"""From the request's bytes to the response's."""

RpcHandler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
"""A handler as grpc registers it."""
