"""Recording the time and the statements that one RPC spends on the database."""

from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter

from .query import Query

PHASES = ("pool_wait", "connect", "query", "fetch", "commit", "rollback", "other")
"""The parts of an RPC's time; all but `other` are spent on the database."""
POOL_WAIT, CONNECT, QUERY, FETCH, COMMIT, ROLLBACK = range(6)

_NONE = -1

# Distinct statements of one RPC that are recorded one by one. Further statements are only counted.
_MAX_DISTINCT = 1_000


class StatementRuns:
    """The executions of one statement by one RPC.

    Attributes:
        times: The number of executions.
        repeats: The number of executions that are suspect if there are many. Failed ones do not count, nor do the
            pages in which SQLAlchemy sends one INSERT with many rows.
        seconds: Their total time.
        longest: The time of the longest, in seconds.
    """

    __slots__ = ("longest", "repeats", "seconds", "times")

    def __init__(self) -> None:
        self.times = 0
        self.repeats = 0
        self.seconds = 0.0
        self.longest = 0.0


class RpcAccount:
    """The time and the statements that one RPC has spent so far; the engine's listeners add to it.

    Tasks that the RPC starts, also through `asyncio.gather`, inherit the account. Time in which several phases
    overlap is charged once, to the phase that began first, so the sum of the phases never exceeds the time of the
    RPC. Nothing is added to a closed account: work may continue after its RPC.

    It has no lock: one RPC runs on one event loop. If an RPC sends statements from several threads, an addition may
    be lost.

    Args:
        full_method: The name of the method, `/marketplace.v1.UserService/GetUser`.
        count_late_hold: Receives the seconds of a connection that is returned after the account was closed.

    Attributes:
        statements: The number of statements.
        seconds: The time of each of `PHASES` but the last.
        runs: The executions of each statement.
        checkouts: The number of connections that were returned.
        held: For how many seconds these were held, together.
        closed: Whether the RPC has ended.
        total: How long the RPC took, in seconds, 0 until it has ended.
    """

    __slots__ = (
        "_charged",
        "_charged_from",
        "_count_late_hold",
        "_opened",
        "_overlapping",
        "checkouts",
        "closed",
        "full_method",
        "held",
        "runs",
        "seconds",
        "statements",
        "total",
    )

    def __init__(self, full_method: str, count_late_hold: Callable[[float], None] | None = None) -> None:
        self.full_method = full_method
        self._count_late_hold = count_late_hold
        self.checkouts = 0
        self.held = 0.0
        self.statements = 0
        self.seconds = [0.0] * (len(PHASES) - 1)
        self.runs: dict[Query, StatementRuns] = {}
        self.closed = False
        self.total = 0.0
        # The phase that began first, and the phases that began while it lasted.
        self._charged = _NONE
        self._overlapping: list[int] = []
        self._opened = self._charged_from = perf_counter()

    def begin(self, phase: int, now: float) -> None:
        """Start a phase at the time `now`, in seconds of perf_counter()."""
        if self._charged == _NONE:
            self._charged = phase
            self._charged_from = now
        else:
            self._overlapping.append(phase)

    def end(self, phase: int, now: float) -> None:
        """End a phase at the time `now`; a phase that was not started is ignored."""
        if phase == self._charged:
            if not self.closed:
                self.seconds[phase] += now - self._charged_from
                self._charged_from = now
            self._charged = self._overlapping.pop(0) if self._overlapping else _NONE
        elif phase in self._overlapping:
            self._overlapping.remove(phase)

    def add_statement(self, query: Query, seconds: float, counts_as_repeat: bool) -> None:
        """Count the execution of a statement.

        Args:
            query: The statement.
            seconds: How long it took.
            counts_as_repeat: Whether executing it many times is suspect.
        """
        if self.closed:
            return
        self.statements += 1
        runs = self.runs.get(query)
        if runs is None:
            if len(self.runs) >= _MAX_DISTINCT:
                return
            runs = self.runs[query] = StatementRuns()
        runs.times += 1
        runs.repeats += counts_as_repeat
        runs.seconds += seconds
        runs.longest = max(runs.longest, seconds)

    def add_hold(self, seconds: float) -> None:
        """Count a connection that the RPC, or a task that it started, held for some seconds and has returned."""
        if not self.closed:
            self.checkouts += 1
            self.held += seconds
        elif self._count_late_hold is not None:
            self._count_late_hold(seconds)

    def close(self) -> float:
        """Close the account and return how long it was open, in seconds; a second call returns the same."""
        if not self.closed:
            now = perf_counter()
            if self._charged != _NONE:
                self.seconds[self._charged] += now - self._charged_from
            self.total = now - self._opened
            self.closed = True
        return self.total


current_rpc: ContextVar[RpcAccount | None] = ContextVar("current_rpc", default=None)
"""The account of the RPC that is being served, None outside of an RPC."""
