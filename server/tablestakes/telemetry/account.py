"""What one RPC spends on the database, and on which part of it."""

from contextvars import ContextVar
from time import perf_counter

from .query import Query

PHASES = ("pool_wait", "connect", "query", "fetch", "commit", "rollback", "other")
"""Where the time of an RPC goes; all but the last are of the database."""
POOL_WAIT, CONNECT, QUERY, FETCH, COMMIT, ROLLBACK = range(6)

_NONE = -1

# Statements that one RPC tells apart. What comes after them is counted, but not looked at one by one.
_DISTINCT = 1_000


class Runs:
    """The executions of one statement by one RPC.

    Attributes:
        times: How many there were.
        repeats: How many of them mean something if there are many: not those that failed, nor the batches that
            SQLAlchemy sends one statement in.
        seconds: The time they took together.
        longest: The time that the longest took, in seconds.
    """

    __slots__ = ("longest", "repeats", "seconds", "times")

    def __init__(self) -> None:
        self.times = 0
        self.repeats = 0
        self.seconds = 0.0
        self.longest = 0.0


class RpcAccount:
    """What one RPC has spent so far; the engine's listeners add to it.

    Tasks that the RPC starts, also through `asyncio.gather`, inherit the account. Time in which several of them
    are at the database is charged once, to what began first, so the phases never exceed the RPC. Once the
    account is closed nothing is added to it any more: work may outlive its RPC.

    It is not locked: one RPC runs on one event loop, and statements that it sends through threads may lose an
    addition.
    """

    __slots__ = (
        "_first",
        "_last",
        "_opened",
        "_others",
        "closed",
        "full_method",
        "runs",
        "seconds",
        "statements",
        "total",
    )

    def __init__(self, full_method: str) -> None:
        self.full_method = full_method
        self.statements = 0
        self.seconds = [0.0] * (len(PHASES) - 1)
        self.runs: dict[Query, Runs] = {}
        self.closed = False
        self.total = 0.0
        # The phase that began first, and those that began while it lasted.
        self._first = _NONE
        self._others: list[int] = []
        self._opened = self._last = perf_counter()

    def begin(self, phase: int, now: float) -> None:
        """Enter a phase of the database."""
        if self._first == _NONE:
            self._first = phase
            self._last = now
        else:
            self._others.append(phase)

    def end(self, phase: int, now: float) -> None:
        """Leave a phase; one that was never entered here is ignored."""
        if phase == self._first:
            if not self.closed:
                self.seconds[phase] += now - self._last
                self._last = now
            self._first = self._others.pop(0) if self._others else _NONE
        elif phase in self._others:
            self._others.remove(phase)

    def ran(self, query: Query, seconds: float, repeats: bool) -> None:
        """Count the execution of a statement.

        Args:
            query: The statement.
            seconds: How long it took.
            repeats: Whether executing it again and again would mean something.
        """
        if self.closed:
            return
        self.statements += 1
        runs = self.runs.get(query)
        if runs is None:
            if len(self.runs) >= _DISTINCT:
                return
            runs = self.runs[query] = Runs()
        runs.times += 1
        runs.repeats += repeats
        runs.seconds += seconds
        runs.longest = max(runs.longest, seconds)

    def close(self) -> float:
        """End the account, and return how long it was open. Twice is once."""
        if not self.closed:
            now = perf_counter()
            if self._first != _NONE:
                self.seconds[self._first] += now - self._last
            self.total = now - self._opened
            self.closed = True
        return self.total


current_rpc: ContextVar[RpcAccount | None] = ContextVar("current_rpc", default=None)
"""The account of the RPC that is being served, None outside of one."""
