"""The attempts of one call: its request id, its deadline, and the pauses between them."""

import random
import time
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from tablestakes.client.error import ApiError

Q = TypeVar("Q", bound=Message)

# The metadata by which the service refuses a repetition that comes after it has forgotten the id.
FIRST_SENT = "first_sent"

MOST = 5


class Attempts:
    """The parts that all attempts of one call share.

    UNAVAILABLE is left to the channel, which repeats it by its service config.

    Args:
        request: The request. It is sent with a request id where it has a field for one; it is not changed.
        seconds: How long all attempts together may take.
        safe: Whether the method changes nothing.

    Attributes:
        request: The request to send.
        metadata: The metadata to send with it.
    """

    def __init__(self, request: Message, seconds: float, *, safe: bool) -> None:
        self.request = with_request_id(request)
        self._until = time.monotonic() + seconds
        has_id = bool(getattr(self.request, "request_id", ""))
        self._repeatable = safe or has_id
        self._left = MOST - 1
        sent = datetime.now(UTC).isoformat()
        self.metadata = ((FIRST_SENT, sent),) if has_id else ()

    @property
    def timeout(self) -> float:
        """The seconds that are left."""
        return max(0.0, self._until - time.monotonic())

    def pause(self, error: ApiError) -> float | None:
        """Return the seconds to wait before the next attempt, None where there is to be none."""
        delay = error.retry_delay
        if delay is None or not self._repeatable or not self._left or error.code is grpc.StatusCode.UNAVAILABLE:
            return None
        self._left -= 1
        delay *= random.uniform(1.0, 1.5)  # noqa: S311 - it need not be hard to guess
        return delay if delay < self.timeout else None


def with_request_id(request: Q) -> Q:
    """Return a request with a new request id, where it has a field for one and no value in it."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name or bool(getattr(request, "request_id", "")):
        return request
    made = type(request)()
    made.CopyFrom(request)
    setattr(made, "request_id", str(uuid4()))  # noqa: B010 - a message of any type
    return made
