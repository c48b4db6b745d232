"""An issuer of tokens for tests: it has a key, publishes it in a file, and signs whatever a test needs."""

import json
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_numbers = count(1)
_MAKERS: dict[str, Any] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_WRITERS: dict[str, Any] = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}


class Issuer:
    """An issuer of tokens.

    Args:
        folder: The folder of its key set.
        algorithm: ES256, RS256 or EdDSA.

    Attributes:
        jwks: The path of its key set.
        issuer: Its name.
        audience: For whom its tokens are.
        kid: The id of its key.
        key: Its private key.
    """

    issuer = "https://issuer.test"
    audience = "tablestakes"

    def __init__(self, folder: Path, algorithm: str = "ES256") -> None:
        self._algorithm = algorithm
        self.jwks = folder / "jwks.json"
        self.rotate()

    def rotate(self) -> None:
        """Take a new key in place of the one before, and publish it."""
        self.key = _MAKERS[self._algorithm]()
        self.kid = f"key-{next(_numbers)}"
        new = self.jwks.with_suffix(".new")
        new.write_text(json.dumps({"keys": [self.public]}))
        new.rename(self.jwks)

    @property
    def public(self) -> dict[str, Any]:
        """The public key as a key set has it."""
        written = json.loads(_WRITERS[self._algorithm].to_jwk(self.key.public_key()))
        return {**written, "kid": self.kid, "alg": self._algorithm, "use": "sig"}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a service that takes its tokens."""
        return {"jwks": str(self.jwks), "jwt_issuer": self.issuer, "jwt_audience": self.audience}

    def token(
        self,
        subject: str,
        roles: Iterable[str] = (),
        scopes: Iterable[str] = (),
        expires_in: float = 300,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token.

        Args:
            subject: Who it is of.
            roles: Its roles.
            scopes: Its scopes.
            expires_in: Seconds after which it expires.
            headers: Members of its header in place of, or beside, the standard ones.
            claims: Claims in place of, or beside, the standard ones; None leaves one out.
        """
        now = int(time.time())
        standard: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "exp": now + int(expires_in),
            "roles": list(roles),
            "scope": " ".join(scopes),
        }
        content = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        return jwt.encode(content, self.key, self._algorithm, headers={"kid": self.kid, **(headers or {})})
