"""Page tokens (AIP-158): the place where a page ended, sealed so that callers can neither read nor change it."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Collection

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from tablestakes.errors import StatusError, invalid_field

VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
LEAST_BYTES = len(VERSION) + NONCE_BYTES + TAG_BYTES

# Characters. No request is large enough for a longer token, and a place may have long texts in it.
MOST_CHARACTERS = 4 << 20

UNBOUND = ("page_size", "page_token", "skip", "return_total_size")
"""The fields of a request that may differ from page to page: they do not change which resources there are, nor
their order."""


class PageTokens:
    """Seals and opens page tokens, with AES-256-GCM-SIV (RFC 8452) under random nonces.

    Args:
        keys: Secrets of any length. The first seals; every one opens, so that a key can be replaced while tokens
            of the one before are still in use.
    """

    def __init__(self, *keys: bytes) -> None:
        if not keys:
            raise ValueError("page tokens need a key")
        self._ciphers = [AESGCMSIV(hashlib.sha256(b"tablestakes page token\0" + key).digest()) for key in keys]

    def seal(self, place: bytes, scope: bytes) -> str:
        """Return the token of a place.

        Args:
            place: The place, which stays secret.
            scope: The request that the token is of, as `scope_of` returns it.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return _encode(VERSION + nonce + self._ciphers[0].encrypt(nonce, place, VERSION + scope))

    def open(self, token: str, scope: bytes) -> bytes:
        """Return the place in a token.

        Raises:
            StatusError: INVALID_ARGUMENT on `page_token`: it was not sealed with one of the keys for the scope.
        """
        sealed = _decode(token)
        nonce, content = sealed[len(VERSION) : len(VERSION) + NONCE_BYTES], sealed[len(VERSION) + NONCE_BYTES :]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, content, VERSION + scope)
            except InvalidTag:
                continue
        raise invalid_token()


def scope_of(method: MethodDescriptor, request: Message, unbound: Collection[str] = UNBOUND) -> bytes:
    """Return a digest of a method and of its request without the fields that may change from page to page."""
    bound = type(request)()
    bound.CopyFrom(request)
    for name in unbound:
        if name in bound.DESCRIPTOR.fields_by_name:
            bound.ClearField(name)
    method_name, content = method.full_name.encode(), bound.SerializeToString(deterministic=True)
    return hashlib.sha256(len(method_name).to_bytes(4) + method_name + content).digest()


def invalid_token() -> StatusError:
    """Return INVALID_ARGUMENT for a page token that this method did not return to such a request."""
    return invalid_field(
        "page_token",
        "must be a next_page_token that this method returned to the same request.",
        "INVALID_PAGE_TOKEN",
    )


def _decode(token: str) -> bytes:
    if len(token) > MOST_CHARACTERS:
        raise invalid_token()
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise invalid_token() from None
    # The decoder skips over characters that it does not know, and a token has one form only.
    if _encode(sealed) != token or len(sealed) < LEAST_BYTES or not sealed.startswith(VERSION):
        raise invalid_token()
    return sealed


def _encode(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
