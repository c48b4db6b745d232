"""A client's side: deadlines, request ids, retries, pages and errors, asynchronously and synchronously.

`tablestakes.client.generate` writes typed clients of a proto package, whose
methods are built on `AsyncClient` and `Client`.
"""

from tablestakes.client.asynchronous import AsyncClient
from tablestakes.client.attempt import with_request_id
from tablestakes.client.config import service_config
from tablestakes.client.error import ApiError
from tablestakes.client.synchronous import Client

__all__ = ["ApiError", "AsyncClient", "Client", "service_config", "with_request_id"]
