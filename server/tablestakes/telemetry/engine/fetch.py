"""Timing the rows of a server-side cursor, which are fetched after their statement has ended."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from sqlalchemy.engine.interfaces import DBAPICursor

from ..account import FETCH, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import Histogram

_FETCHES = frozenset({"fetchone", "fetchmany", "fetchall"})


class TimedCursor:
    """Wraps a cursor of the driver and times each fetch, including one that fails.

    Args:
        cursor: The cursor.
        seconds: Receives the duration of each fetch.
        guard: Catches failures of the counting, so that no fetch fails because of one.
    """

    def __init__(self, cursor: DBAPICursor, seconds: Histogram, guard: Guard) -> None:
        # Our own __setattr__ would set these on the cursor.
        vars(self).update(_cursor=cursor, _begin=guard.wrap("fetch", _begin), _end=guard.wrap("fetch", _end))
        vars(self).update(_seconds=seconds)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._cursor, name)
        return self._timed(attribute) if name in _FETCHES else attribute

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._cursor, name, value)

    def _timed(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def timed_fetch(*arguments: Any) -> Any:
            start = perf_counter()
            self._begin(start)
            try:
                return fetch(*arguments)
            finally:
                self._end(self._seconds, start)

        return timed_fetch


def _begin(start: float) -> None:
    account = current_rpc.get()
    if account is not None:
        account.begin(FETCH, start)


def _end(seconds: Histogram, start: float) -> None:
    now = perf_counter()
    account = current_rpc.get()
    if account is not None:
        account.end(FETCH, now)
    seconds.observe(now - start)
