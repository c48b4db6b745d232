"""From the claims of a token to its caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tablestakes.crud.call import Caller


@dataclass(frozen=True)
class Claims:
    """Which claims say what of a caller.

    Attributes:
        roles: The path of the claim with the roles, a list of texts: `realm_access.roles`.
        attributes: The path of the claim behind each attribute, by the attribute's name.
    """

    roles: str = "roles"
    attributes: Mapping[str, str] = field(default_factory=dict)

    def caller(self, claims: Mapping[str, Any]) -> Caller | None:
        """Return the caller of some verified claims; None where they have no subject.

        Scopes are those of `scope`, with spaces in between (RFC 8693, section 4.2), or those of the list `scp`. A
        claim of another type than is expected says nothing.
        """
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            return None
        scope = claims.get("scope")
        scopes = scope.split() if isinstance(scope, str) else _texts(claims.get("scp"))
        found = {name: _at(claims, path) for name, path in self.attributes.items()}
        return Caller(
            subject=subject,
            roles=frozenset(_texts(_at(claims, self.roles))),
            scopes=frozenset(scopes),
            attributes={name: value for name, value in found.items() if isinstance(value, str)},
        )


def read_attributes(text: str) -> dict[str, str]:
    """Return the claims behind attributes, from a setting that is valid: `user=tablestakes_user,tenant=tid`."""
    pairs = (each.partition("=") for each in text.split(",") if each.strip())
    return {name.strip(): claim.strip() for name, _, claim in pairs}


def _at(claims: Mapping[str, Any], path: str) -> Any:
    # A claim may have dots in its own name: `https://example.com/roles`.
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []
