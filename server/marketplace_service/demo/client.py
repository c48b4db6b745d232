"""A client that counts: what it made, what was there already, and how many calls that took."""

import asyncio
from collections import Counter
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc import StatusCode
from marketplace.v1 import (
    order_pb2_grpc,
    post_pb2_grpc,
    product_pb2_grpc,
    tag_pb2_grpc,
    user_pb2_grpc,
    wallet_pb2_grpc,
)

from marketplace_service.demo.options import DemoError
from tablestakes.client import ApiError, with_request_id

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# Reasons that come with the promise that the call did nothing, so that it may be made again.
UNDONE = frozenset({"DATABASE_BUSY", "CONCURRENT_CHANGE"})
TRIES, PAUSE_SECONDS, DEADLINE_SECONDS = 10, 0.5, 30.0


class Client:
    """The services of a server.

    Args:
        channel: A connection to the server.

    Attributes:
        made: How many of each kind were made.
        there: How many of each kind were there already.
        calls: How many calls were answered.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.users = user_pb2_grpc.UserServiceStub(channel)
        self.tags = tag_pb2_grpc.TagServiceStub(channel)
        self.products = product_pb2_grpc.ProductServiceStub(channel)
        self.posts = post_pb2_grpc.PostServiceStub(channel)
        self.orders = order_pb2_grpc.OrderServiceStub(channel)
        self.wallets = wallet_pb2_grpc.WalletServiceStub(channel)
        self.made: Counter[str] = Counter()
        self.there: Counter[str] = Counter()
        self.calls = 0

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, made: str = ""
    ) -> Response:
        """Call a method, again where the server was busy, and return its response.

        Args:
            method: A method of one of the stubs.
            request: The request.
            made: The kind of thing that it makes; empty where it only changes one.

        Raises:
            grpc.aio.AioRpcError: The server refused it.
        """
        # The same id with each try: whatever became of an earlier one, there is one thing of it.
        request = with_request_id(request)
        for left in range(TRIES, 0, -1):
            try:
                response = await method(request, timeout=DEADLINE_SECONDS)
                break
            except grpc.aio.AioRpcError as error:
                self.calls += error.code() is StatusCode.ALREADY_EXISTS
                told = ApiError.of(error)
                if left == 1 or (told.reason not in UNDONE and told.retry_delay is None):
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
        self.calls += 1
        if made:
            self.made[made] += 1
        return response

    async def make(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, kind: str
    ) -> Response | None:
        """Make what has a key of its own, and return it; None where there is one with its key already.

        Raises:
            grpc.aio.AioRpcError: The server refused it for another reason.
        """
        try:
            return await self.call(method, request, kind)
        except grpc.aio.AioRpcError as error:
            if error.code() is not StatusCode.ALREADY_EXISTS:
                raise
        self.there[kind] += 1
        return None


def explained(error: grpc.aio.AioRpcError, target: str) -> DemoError:
    """Return what a refusal means for the demo, in one line."""
    details = (error.details() or "").partition("\n")[0]
    # Without a reason it was not the server that answered, but the connection to it.
    if error.code() is StatusCode.UNAVAILABLE and not ApiError.of(error).reason:
        return DemoError(f"{target} cannot be reached: {details}")
    return DemoError(f"{target} answered {error.code().name}: {details}")
