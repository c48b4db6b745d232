"""JSON Web Tokens (RFC 7519) that callers send as bearer tokens, verified once and remembered until they expire."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from grpc import StatusCode
from jwt import PyJWK
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, PyJWTError

from tablestakes.crud.call import Caller
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import RETRY_DELAY, StatusError
from tablestakes.identity.claims import Claims
from tablestakes.identity.key_set import ALGORITHMS, KeySet
from tablestakes.identity.way import bearer_of, refused

# Tokens that are remembered: those that were used last.
MOST_TOKENS = 10_000

# Members of a header that name a key of the sender's own, or rules that nobody here knows (RFC 7515, section 4.1).
FOREIGN = frozenset({"crit", "jku", "jwk", "x5c", "x5u"})


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was verified."""

    caller: Caller
    expires: float
    kid: str
    key: PyJWK


class Tokens:
    """Finds out who calls by the token that the call has.

    Args:
        keys: The keys that sign tokens.
        issuer: Who must have issued a token, "" for anybody with a key of those.
        audience: For whom it must be, "" for anybody.
        claims: Which claims say what of a caller.
        leeway: Seconds that clocks may be apart.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        claims: Claims,
        leeway: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer or None
        self._audience = audience or None
        self._required = ["exp", "sub", *(["iss"] if issuer else []), *(["aud"] if audience else [])]
        self._claims = claims
        self._leeway = leeway
        self._clock = clock
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()

    async def __call__(self, arrival: Arrival) -> Caller | None:
        """Return who calls; None without a token.

        Raises:
            StatusError: UNAUTHENTICATED, the token is not valid; UNAVAILABLE, there are no keys to tell.
        """
        token = bearer_of(arrival)
        return None if token is None else await self.verify(token)

    async def verify(self, token: str) -> Caller:
        """Return the caller of a token: the same one for as long as it is remembered.

        Raises:
            StatusError: As for a call.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._clock() < known.expires and self._keys.current(known.kid) is known.key:
            self._known.move_to_end(digest)
            return known.caller
        self._known.pop(digest, None)
        verified = await self._verified(token)
        self._known[digest] = verified
        if len(self._known) > MOST_TOKENS:
            self._known.popitem(last=False)
        return verified.caller

    async def _verified(self, token: str) -> _Verified:
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            raise refused("The token is no JSON Web Token.", "CREDENTIALS_INVALID") from None
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or FOREIGN & header.keys():
            raise refused("The token is signed in a way that is not accepted.", "CREDENTIALS_INVALID")
        kid = header.get("kid", self._keys.only or "")
        key = await self._keys.find(kid) if isinstance(kid, str) else None
        if key is None and self._keys.is_empty:
            raise StatusError(
                StatusCode.UNAVAILABLE,
                "KEYS_UNAVAILABLE",
                "The keys that tokens are verified with cannot be had at the moment.",
                retry_delay=RETRY_DELAY,
            )
        if key is None or key.algorithm_name != algorithm:
            raise refused("The token is signed by a key that is not known.", "CREDENTIALS_INVALID")
        claims = self._decoded(token, key, algorithm)
        caller = self._claims.caller(claims)
        if caller is None:
            raise refused("The token has no subject.", "CREDENTIALS_INVALID")
        return _Verified(caller, float(claims["exp"]) + self._leeway, kid, key)

    def _decoded(self, token: str, key: PyJWK, algorithm: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={
                    "require": self._required,
                    "verify_aud": self._audience is not None,
                },
            )
        except ExpiredSignatureError:
            raise refused("The token has expired.", "TOKEN_EXPIRED") from None
        except ImmatureSignatureError:
            raise refused("The token is not valid yet.", "CREDENTIALS_INVALID") from None
        except (PyJWTError, ValueError, TypeError):
            raise refused("The token is not valid.", "CREDENTIALS_INVALID") from None
        return found
