"""Keeping exceptions of the instrumentation away from the code that it observes."""

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

_log = logging.getLogger("tablestakes.telemetry")


class Guard:
    """Wraps listeners: an exception of theirs is counted, logged once for each event, and not raised."""

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
            except Exception:  # noqa: BLE001 - no failure of a listener may reach the program
                self.failed(event)

        return listener

    def failed(self, event: str) -> None:
        """Count the exception that is being handled, as a failure of the listener of an event."""
        with self._lock:
            self.errors += 1
            first = event not in self._logged
            self._logged.add(event)
        if first:
            # The broken listener may be the log itself.
            with suppress(Exception):
                _log.exception("a telemetry listener failed; from now on only counted: %s", event)
