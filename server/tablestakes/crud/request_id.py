"""The request id of a write, by which its caller may repeat it (AIP-155)."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.errors import invalid_field

# RFC 9562, section 4: version 4 and its variant, in either case (AIP-202, UUID4).
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestId:
    """A request id, as it is kept.

    Neither part tells the id or the request to whoever reads the table: both are hashes with the id in them, and an
    id has 122 random bits. So a password in a request cannot be guessed from its digest either.

    Attributes:
        key: A hash of the id, the method and the caller: the same id of another caller is another one.
        digest: A hash of the request.
        first_sent: When the caller sent it first, None where the caller did not say.
    """

    key: bytes
    digest: bytes
    first_sent: datetime | None


def request_id_of(method: Method, call: Call[Any]) -> RequestId | None:
    """Return the id of a call, None where it has none.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no UUID of version 4.
    """
    text: str = method.asks.request_id(call.request)
    if not text:
        return None
    if not _UUID4.fullmatch(text):
        raise invalid_field("request_id", "must be a UUID of version 4.", "INVALID_REQUEST_ID")
    secret, subject = UUID(text).bytes, call.caller.subject
    scope = method.path.encode() + (b"" if subject is None else b"\0" + subject.encode())
    body = type(call.request)()
    body.CopyFrom(call.request)
    body.ClearField("request_id")
    return RequestId(
        key=hashlib.sha256(secret + scope).digest(),
        digest=hmac.digest(secret, body.SerializeToString(deterministic=True), "sha256"),
        first_sent=call.first_sent,
    )
