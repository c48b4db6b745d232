"""What one RPC spends on the database, and on which part of it."""

from contextvars import ContextVar
from time import perf_counter
from typing import Any

from server.telemetry.operation import Operation

PHASES = ("pool_wait", "connect", "query", "commit", "rollback", "other")
"""Where the time of an RPC goes; all but the last are of the database."""
POOL_WAIT, CONNECT, QUERY, COMMIT, ROLLBACK = range(5)

# Constructs that one RPC tells apart. What comes after them is counted, but not looked at for repetition.
_DISTINCT = 1_000


class Repetition:
    """How often one compiled statement has run, and what it is called."""

    __slots__ = ("operation", "statement", "times")

    def __init__(self, operation: Operation, statement: str) -> None:
        self.operation = operation
        self.statement = statement
        self.times = 0


class RpcAccount:
    """What one RPC has spent so far; the engine's listeners add to it.

    Tasks that the RPC starts, also through `asyncio.gather`, inherit the account. Time in which several of them
    are at the database is charged once, to what began first, so the phases never exceed the RPC. Once the
    account is closed nothing is added to it any more: work may outlive its RPC.

    It is not locked: one RPC runs on one event loop, and statements that it sends through threads may lose an
    addition.
    """

    __slots__ = (
        "_active",
        "_last",
        "_opened",
        "closed",
        "full_method",
        "repetitions",
        "seconds",
        "statements",
        "total",
    )

    def __init__(self, full_method: str) -> None:
        self.full_method = full_method
        self.statements = 0
        self.seconds = [0.0] * (len(PHASES) - 1)
        self.repetitions: dict[Any, Repetition] = {}
        self.closed = False
        self.total = 0.0
        self._active: list[int] = []
        self._opened = self._last = perf_counter()

    @property
    def query_seconds(self) -> float:
        """The time in which statements ran."""
        return self.seconds[QUERY]

    def begin(self, phase: int, now: float) -> None:
        """Enter a phase of the database."""
        active = self._active
        if self.closed:
            return
        if active:
            self.seconds[active[0]] += now - self._last
        active.append(phase)
        self._last = now

    def end(self, phase: int, now: float) -> None:
        """Leave a phase; one that was never entered here is ignored."""
        active = self._active
        if self.closed or phase not in active:
            return
        self.seconds[active[0]] += now - self._last
        active.remove(phase)
        self._last = now

    def ran(self, key: Any, operation: Operation, statement: str) -> None:
        """Count a statement.

        Args:
            key: What makes it the same statement as another, or None if repeating it means nothing.
            operation: What it is called.
            statement: Its text.
        """
        if self.closed:
            return
        self.statements += 1
        if key is None:
            return
        repetition = self.repetitions.get(key)
        if repetition is None:
            if len(self.repetitions) >= _DISTINCT:
                return
            repetition = self.repetitions[key] = Repetition(operation, statement)
        repetition.times += 1

    def close(self) -> float:
        """End the account, and return how long it was open. Twice is once."""
        if not self.closed:
            now = perf_counter()
            if self._active:
                self.seconds[self._active[0]] += now - self._last
            self.total = now - self._opened
            self.closed = True
        return self.total


current_rpc: ContextVar[RpcAccount | None] = ContextVar("current_rpc", default=None)
"""The account of the RPC that is being served, None outside of one."""
