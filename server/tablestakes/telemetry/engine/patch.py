"""Replacing a method of one object until it is put back."""

from collections.abc import Callable
from typing import Any

Method = Callable[..., Any]


class MethodPatch:
    """Replaces a method of one object.

    SQLAlchemy has events for the start of a COMMIT, a ROLLBACK and a connect, but none for their end or failure.

    Args:
        target: The object. Other objects of its class keep their method.
        name: The name of the method.
        wrap: Takes the current method and returns its replacement.
    """

    def __init__(self, target: object, name: str, wrap: Callable[[Method], Method]) -> None:
        self._target, self._name = target, name
        self._previous = vars(target).get(name)
        self._replacement = wrap(getattr(target, name))
        setattr(target, name, self._replacement)

    def remove(self) -> None:
        """Put the method back, unless other code has replaced it since and so may still call our replacement."""
        if vars(self._target).get(self._name) is not self._replacement:
            return
        if self._previous is None:
            delattr(self._target, self._name)
        else:
            setattr(self._target, self._name, self._previous)
