"""Pages of a List: how large, and the sealed token that finds the next one (AIP-158)."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Column

from tablestakes.crud.schema.name import read_id
from tablestakes.errors import StatusError, invalid_field

DEFAULT_SIZE = 50
MAX_SIZE = 1000
SEAL_BYTES = 16

# The fields of a request that may change from one page to the next; an export has no page_size.
BETWEEN_PAGES = frozenset({"page_size", "page_token"})

# A page ends early when its resources have this many bytes together, so that it can be sent.
MAX_BYTES = 3 << 20

# Rows that are read at once: as many as the default page has. A larger page reads on only as far as rows of that
# size fit, so that memory is bounded by these rows and not by the largest page of the largest resources.
CHUNK = DEFAULT_SIZE


def page_size(requested: int) -> int:
    """Return how many resources a page holds: the default for 0, and never more than the maximum.

    Raises:
        StatusError: INVALID_ARGUMENT, it is negative.
    """
    if requested < 0:
        raise invalid_field("page_size", "must not be negative.", "NEGATIVE_PAGE_SIZE")
    return min(requested, MAX_SIZE) or DEFAULT_SIZE


@dataclass(frozen=True)
class PageTokens:
    """Makes and reads page tokens: the id where a page ended, sealed together with the request that it answered.

    Attributes:
        key: The seal's key. With a key that nobody else knows a token cannot be forged; with a known one the
            seal still finds damage, and tokens of other requests.
    """

    key: bytes

    def seal(self, request: Message, last_id: Any) -> str:
        """Return the token for the page after an id.

        Args:
            request: The List request that the page answered.
            last_id: The id of the last resource of the page.
        """
        content = str(last_id).encode()
        return _encode(self._seal(content, request) + content)

    def open(self, request: Message, column: Column[Any]) -> Any | None:
        """Return the id in a request's token as its column keeps it, or None where the first page is asked for.

        Raises:
            StatusError: INVALID_ARGUMENT on `page_token`: it is damaged, or was made for another request.
        """
        token: str = request.page_token  # type: ignore[attr-defined]
        if not token:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise _refused() from None
        if _encode(sealed) != token:
            # The decoder skips over characters that it does not know, and a token has one form only.
            raise _refused()
        seal, content = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(content, request)):
            raise _refused()
        # With the well-known key anybody can seal anything: what is in it may still be no id.
        last_id = read_id(column, content.decode(errors="replace"))
        if last_id is None:
            raise _refused()
        return last_id

    def _seal(self, content: bytes, request: Message) -> bytes:
        # All of the request but the fields that may change between pages: its filter, its order, its parent.
        bound = type(request)()
        bound.CopyFrom(request)
        for name in BETWEEN_PAGES.intersection(request.DESCRIPTOR.fields_by_name):
            bound.ClearField(name)
        scope = request.DESCRIPTOR.full_name.encode() + b"\0" + bound.SerializeToString(deterministic=True)
        length = len(scope).to_bytes(4)
        return hmac.digest(self.key, length + scope + content, "sha256")[:SEAL_BYTES]


def _encode(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _refused() -> StatusError:
    return invalid_field(
        "page_token",
        "must be a next_page_token that this method returned to the same request.",
        "INVALID_PAGE_TOKEN",
    )
