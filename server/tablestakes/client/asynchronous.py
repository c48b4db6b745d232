"""A client that awaits its answers, for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from tablestakes.client.attempt import Attempts
from tablestakes.client.config import service_config
from tablestakes.client.error import ApiError

R = TypeVar("R", bound=Message)


class AsyncClient:
    """A connection to a server, and the calls of its methods.

    Args:
        target: The server's address: `127.0.0.1:50051`.
        services: The services to call: their reads are repeated while the server is UNAVAILABLE, and so are those
            of their writes that have a request id, which is each that has a field for it.
        seconds: How long a call may take, with its repetitions, unless it says otherwise.
        credentials: For TLS; None for none.
    """

    def __init__(
        self,
        target: str,
        services: Sequence[ServiceDescriptor] = (),
        *,
        seconds: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = (("grpc.service_config", service_config(services, request_ids=True)),)
        self._seconds = seconds
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def call(
        self, path: str, request: Message, response: type[R], *, safe: bool = False, seconds: float | None = None
    ) -> R:
        """Call a method, again where its answer says when, and return the response.

        Args:
            path: The method: `/marketplace.v1.UserService/GetUser`.
            request: The request.
            response: The class of the response.
            safe: Whether the method changes nothing, so that it may be repeated without a request id.
            seconds: How long all of it may take; None for the client's own.

        Raises:
            ApiError: The server refused it, or cannot be reached.
        """
        send: Any = self._channel.unary_unary(path)
        attempts = Attempts(request, self._seconds if seconds is None else seconds, safe=safe)
        data = attempts.request.SerializeToString()
        while True:
            try:
                answer = await send(data, timeout=attempts.timeout, metadata=attempts.metadata)
                return response.FromString(answer)
            except grpc.RpcError as error:
                refused = ApiError.of(error)
                if (pause := attempts.pause(refused)) is None:
                    raise refused from error
            await asyncio.sleep(pause)

    async def pages(
        self, path: str, request: Message, response: type[R], *, seconds: float | None = None
    ) -> AsyncIterator[R]:
        """Yield each page of a list, as it is needed.

        Args:
            path: The method.
            request: The request of the first page.
            response: The class of a page.
            seconds: How long each page may take; None for the client's own.

        Raises:
            ApiError: The server refused a page, or cannot be reached.
        """
        following: Any = type(request)()
        following.CopyFrom(request)
        while True:
            page: Any = await self.call(path, following, response, safe=True, seconds=seconds)
            yield page
            if not page.next_page_token:
                return
            following.page_token = page.next_page_token
