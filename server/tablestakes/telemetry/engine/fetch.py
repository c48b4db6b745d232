"""Rows that come after their statement has ended: those of a server-side cursor."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from sqlalchemy.engine.interfaces import DBAPICursor

from ..account import FETCH, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import Histogram

_FETCHES = frozenset({"fetchone", "fetchmany", "fetchall"})


class TimedCursor:
    """A driver's cursor, each of whose fetches is timed, also one that fails.

    Args:
        cursor: The cursor.
        seconds: Where its fetches are counted.
        guard: Keeps failures of the counting from the fetch.
    """

    def __init__(self, cursor: DBAPICursor, seconds: Histogram, guard: Guard) -> None:
        # Past our own __setattr__, which is the cursor's.
        vars(self).update(_cursor=cursor, _begin=guard.wrap("fetch", _begin), _end=guard.wrap("fetch", _end))
        vars(self).update(_seconds=seconds)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        return self._timed(found) if name in _FETCHES else found

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._cursor, name, value)

    def _timed(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def fetched(*arguments: Any) -> Any:
            start = perf_counter()
            self._begin(start)
            try:
                return fetch(*arguments)
            finally:
                self._end(self._seconds, start)

        return fetched


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
