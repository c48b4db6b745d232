"""A method of one object, replaced until it is put back."""

from collections.abc import Callable
from typing import Any


class Detour:
    """Leads the calls of a method of one object past `around`, which is given the method and its arguments.

    SQLAlchemy tells that a COMMIT, a ROLLBACK or a connect begins, but not that it ended or failed.

    Args:
        target: The object; others of its class are left alone.
        name: The method.
        around: Called with the method itself, and with what it was called with.
    """

    def __init__(self, target: object, name: str, around: Callable[..., Any]) -> None:
        self._target, self._name, self._open = target, name, True
        self._before = vars(target).get(name)
        straight = getattr(target, name)

        def led(*arguments: Any, **named: Any) -> Any:
            if self._open:
                return around(straight, *arguments, **named)
            return straight(*arguments, **named)

        self._led = led
        setattr(target, name, led)

    def remove(self) -> None:
        """Put the method back; if something else has replaced it since, at least step aside."""
        self._open = False
        if vars(self._target).get(self._name) is not self._led:
            return
        if self._before is None:
            delattr(self._target, self._name)
        else:
            setattr(self._target, self._name, self._before)
