"""Pages of a List: how large, and the sealed token that finds the next one (AIP-158)."""

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from tablestakes.errors import StatusError, invalid_field

DEFAULT_SIZE = 50
MAX_SIZE = 1000
SEAL_BYTES = 16


def page_size(requested: int) -> int:
    """Return how many resources a page holds: the default for 0, and never more than the most.

    Raises:
        StatusError: INVALID_ARGUMENT, it is negative.
    """
    if requested < 0:
        raise invalid_field("page_size", "must not be negative.", "NEGATIVE_PAGE_SIZE")
    return min(requested, MAX_SIZE) or DEFAULT_SIZE


@dataclass(frozen=True)
class PageTokens:
    """Makes and reads page tokens: where a page ended, sealed together with the request that it answered.

    Attributes:
        key: The seal's key. With a key that nobody else knows a token cannot be forged; with a known one the
            seal still finds damage, and tokens of other requests.
    """

    key: bytes

    def seal(self, request: Message, position: list[Any]) -> str:
        """Return the token for what follows a position.

        Args:
            request: The List request that the page answered.
            position: The values of the order's columns in the page's last row, as JSON has them.
        """
        content = json.dumps(position, separators=(",", ":")).encode()
        return _encode(self._seal(content, request) + content)

    def open(self, request: Message) -> list[Any] | None:
        """Return the position in a request's token, or None where it asks for the first page.

        Raises:
            StatusError: INVALID_ARGUMENT on `page_token`: it is damaged, or was given out for another request.
        """
        token: str = request.page_token  # type: ignore[attr-defined]
        if not token:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise _refused() from None
        if _encode(sealed) != token:
            # The decoder skips over much, and a token has one form only.
            raise _refused()
        seal, content = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(content, request)):
            raise _refused()
        position: list[Any] = json.loads(content)
        return position

    def _seal(self, content: bytes, request: Message) -> bytes:
        # All of the request but what may change between pages: its filter, its order, its parent.
        bound = type(request)()
        bound.CopyFrom(request)
        bound.ClearField("page_size")
        bound.ClearField("page_token")
        told = request.DESCRIPTOR.full_name.encode() + b"\0" + bound.SerializeToString(deterministic=True)
        length = len(told).to_bytes(4)
        return hmac.digest(self.key, length + told + content, "sha256")[:SEAL_BYTES]


def _encode(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _refused() -> StatusError:
    return invalid_field(
        "page_token",
        "must be a next_page_token that this method returned to the same request.",
        "INVALID_PAGE_TOKEN",
    )
