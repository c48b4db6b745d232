"""The types of gRPC handlers. Strings, because grpc's classes are generic for type checkers only."""

from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""grpc.aio's context of a call."""

RpcHandler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
"""A handler as grpc registers it."""
