"""Who may call a method: everybody, everybody who is known, or those with a role or with scopes."""

from collections.abc import Iterable
from dataclasses import dataclass

from tablestakes.crud.call import Caller


@dataclass(frozen=True)
class Access:
    """Who may call a method.

    Attributes:
        public: Whether everybody may, known or not.
        roles: A caller must have one of these, where there are any.
        scopes: A caller's token must have each of these (RFC 6749, section 3.3).
    """

    public: bool = False
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> "Access":
        """Return the access of callers with one of some roles, and with each of some scopes."""
        return cls(roles=frozenset(roles), scopes=frozenset(scopes))

    def allows(self, caller: Caller) -> bool:
        """Return whether a caller may call."""
        if self.public:
            return True
        if caller.subject is None or not self.scopes <= caller.scopes:
            return False
        return not self.roles or not self.roles.isdisjoint(caller.roles)

    def and_of(self, other: "Access | None") -> "Access":
        """Return the access of those who have this one and another: of a batch, and of the method of its items.

        Raises:
            ValueError: Both ask for roles, and for different ones.
        """
        if other is None or other.public:
            return self
        if self.public:
            return other
        if self.roles and other.roles and self.roles != other.roles:
            raise ValueError(f"{sorted(self.roles)} and {sorted(other.roles)} are different roles")
        return Access(roles=self.roles or other.roles, scopes=self.scopes | other.scopes)

    def __str__(self) -> str:
        if self.public:
            return "everybody"
        roles = [f"role {' or '.join(sorted(self.roles))}"] if self.roles else []
        return ", ".join([*roles, *(f"scope {each}" for each in sorted(self.scopes))]) or "everybody who is known"


PUBLIC = Access(public=True)
"""Everybody may call."""

KNOWN = Access()
"""Everybody may call of whom it is known who that is."""
