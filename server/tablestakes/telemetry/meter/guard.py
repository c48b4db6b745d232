"""Nothing that observes may raise into what it observes."""

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

_log = logging.getLogger("tablestakes.telemetry")


class Guard:
    """Wraps listeners: a failure of their own is counted, logged once for each event, and swallowed."""

    __slots__ = ("_lock", "_logged", "errors")

    def __init__(self) -> None:
        self.errors = 0
        self._logged: set[str] = set()
        self._lock = Lock()

    def wrap(self, event: str, handler: Callable[..., object]) -> Callable[..., None]:
        """Return `handler` as a listener that raises no `Exception`, whatever `handler` does."""

        def listener(*arguments: Any) -> None:
            try:
                handler(*arguments)
            except Exception:  # noqa: BLE001 - every failure of a listener ends here, that is the point
                self.failed(event)

        return listener

    def failed(self, event: str) -> None:
        """Count the exception that is being handled, as one of the listener of an event."""
        with self._lock:
            self.errors += 1
            first = event not in self._logged
            self._logged.add(event)
        if first:
            # The log may be what is broken.
            with suppress(Exception):
                _log.exception("a telemetry listener failed; from now on only counted: %s", event)
