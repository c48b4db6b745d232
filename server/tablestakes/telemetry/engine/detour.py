"""A method of one object, replaced until it is put back."""

from collections.abc import Callable
from typing import Any

Method = Callable[..., Any]


class Detour:
    """Leads the calls of a method of one object another way.

    SQLAlchemy tells that a COMMIT, a ROLLBACK or a connect begins, but not that it ended or failed.

    Args:
        target: The object; others of its class are left alone.
        name: The method.
        around: Given the method as it was, returns what to call in its place.
    """

    def __init__(self, target: object, name: str, around: Callable[[Method], Method]) -> None:
        self._target, self._name = target, name
        self._before = vars(target).get(name)
        self._led = around(getattr(target, name))
        setattr(target, name, self._led)

    def remove(self) -> None:
        """Put the method back, unless something else has replaced it since: then ours stays beneath that one."""
        if vars(self._target).get(self._name) is not self._led:
            return
        if self._before is None:
            delattr(self._target, self._name)
        else:
            setattr(self._target, self._name, self._before)
