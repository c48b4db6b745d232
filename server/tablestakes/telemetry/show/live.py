"""The current counters as plain numbers, for the live page."""

import json
import math
import time
from collections.abc import Iterable, Sequence
from heapq import nlargest
from operator import attrgetter
from typing import Any

from ..engine.instrument import Instrumentation, failures
from ..engine.series import SeriesByName
from ..engine.waiting import Waits
from ..lag import LoopLag
from ..meter.histogram import SECONDS
from ..query import Query
from ..rpc.method import BUCKETS, MethodMetrics, RpcMetrics
from ..rpc.usage import StatementUsage
from .history import History
from .runbook import anchors

# The page can order statements by several measures, and gets this many of the costliest by each.
_MAX_STATEMENTS = 25
_MAX_SUSPECTS = 50
_MAX_TEXT = 2_000


class Live:
    """Reads the current counters of a program, and keeps those of the last five minutes once it is started.

    All counters are cumulative: the difference of two readings is what happened in between. No statement or RPC
    gets slower. SQL has placeholders, never values.

    Args:
        name: The name of the program.
        version: Its version, "" if it has none.
        engines: The instrumentations of its engines.
        rpcs: The metrics of its RPCs, None if it serves none.
        lag: The lag of its event loop, None if it is not measured.
        runbooks: Markdown with a section of the second level for each alert, "" for none. The targets of the page
            link to the sections whose names end like theirs: `QueryP99High`, `PoolFull`, `SlowQueries`,
            `ConnectionErrors` and `EventLoopLag`.

    Attributes:
        history: Keeps the counters; `serve` starts and stops it.
    """

    def __init__(
        self,
        name: str,
        version: str = "",
        *,
        engines: Sequence[Instrumentation] = (),
        rpcs: RpcMetrics | None = None,
        lag: LoopLag | None = None,
        runbooks: str = "",
    ) -> None:
        self.name = name
        self.version = version
        self._engines = tuple(engines)
        self._rpcs = rpcs
        self._lag = lag
        self._started = time.time()
        self._began = time.monotonic()
        self.runbooks = runbooks
        self.history = History(self.sample, self._read_counters)

    def render(self, *, since: float = -1.0, minute: bool = True) -> bytes:
        """Return the reading and its history as JSON, in ASCII.

        Args:
            since: Only samples after this time are wanted, in seconds since the start of the program.
            minute: Whether the reading of a minute ago is wanted.
        """
        reading = self.read()
        reading["history"] = self.history.since(since)
        reading["before"] = self.history.before_minute(reading["uptime"]) if minute else None
        # A field of a slow query, such as the trace id, may be of any type, and is then shown as its text.
        return json.dumps(reading, allow_nan=False, default=str, separators=(",", ":")).encode("ascii")

    def read(self) -> dict[str, Any]:
        """Return the reading.

        Durations are in seconds, and moments in seconds since 1970. A histogram is the counts of its buckets, not
        cumulative; the last one is for values above the last of its `bounds`. `started` distinguishes one run of
        the program from the next, whose counters begin at zero again.
        """
        methods = self._methods()
        return {
            "name": self.name,
            "version": self.version,
            "started": self._started,
            "uptime": self._uptime(),
            "runbooks": anchors(self.runbooks),
            "rpcs": {"bounds": BUCKETS, "methods": [_method(method) for method in methods]},
            "engines": [_engine(engine) for engine in self._engines],
            "statements": _statements(methods),
            "suspects": {
                "threshold": 0 if self._rpcs is None else self._rpcs.repeat_threshold,
                "found": _suspects(methods),
            },
            "lag": None if self._lag is None else {"bounds": SECONDS, "counts": self._lag.snapshot()[0]},
            "instrumentation_errors": failures(self._engines),
        }

    def sample(self) -> dict[str, Any]:
        """Return the counters that the charts need, a tenth of a reading.

        `ended` has the number of ended RPCs of each method, in the order of a reading's methods.
        """
        counts, ended = [0] * (len(BUCKETS) + 1), []
        failed = in_flight = 0
        for method in self._methods():
            started, codes = method.counts()
            total = sum(codes.values())
            ended.append(total)
            failed += total - codes["OK"]
            in_flight += started - total
            if total:
                counts = [sum(pair) for pair in zip(counts, method.handling()[0], strict=True)]
        return {
            "time": self._uptime(),
            "counts": counts,
            "ended": ended,
            "failed": failed,
            "in_flight": in_flight,
            "engines": [_engine(engine, recent=False) for engine in self._engines],
            "lag": None if self._lag is None else self._lag.snapshot()[0],
        }

    def _read_counters(self) -> dict[str, Any]:
        sample = self.sample()
        return {
            "uptime": sample["time"],
            "rpcs": {"methods": [_method(method) for method in self._methods()]},
            "engines": sample["engines"],
            "lag": None if self._lag is None else {"counts": sample["lag"]},
        }

    def _methods(self) -> list[MethodMetrics]:
        return [] if self._rpcs is None else self._rpcs.methods()

    def _uptime(self) -> float:
        return time.monotonic() - self._began


def _method(method: MethodMetrics) -> dict[str, Any]:
    started, codes = method.counts()
    counts, total = method.handling()
    return {
        "method": method.full_method,
        "started": started,
        "codes": {code: count for code, count in codes.items() if count},
        "counts": counts,
        "seconds": total,
        "statements": method.usage.statement_count(),
        "phases": method.usage.seconds_by_phase(),
    }


def _engine(engine: Instrumentation, *, recent: bool = True) -> dict[str, Any]:
    idle, used = engine.connections.counts()
    maximum = engine.connections.maximum()
    counts, slow, by_loop = _operations(engine.statements.series)
    return {
        "system": engine.labels.system,
        "pool": engine.labels.pool,
        "bounds": SECONDS,
        "counts": counts,
        "slow": {
            "threshold": engine.slow.threshold,
            "times": slow,
            "by_loop": by_loop,
            "recent": engine.slow.recent if recent else [],
        },
        "connections": {
            "idle": idle,
            "used": used,
            # JSON has no infinity: null means that the pool has no limit, or does not say.
            "max": maximum if maximum is not None and math.isfinite(maximum) else None,
            "created": engine.lifecycle.created(),
            "closed": {cause: count for cause, count in engine.lifecycle.closed().items() if count},
        },
        "waits": _waits(engine.waits) if engine.reports_waits else None,
        "errors": [
            {"phase": phase, "error_type": kind, "disconnect": disconnect == "true", "times": times}
            for (phase, kind, disconnect), times in engine.errors.counts().items()
        ],
    }


def _operations(by_name: SeriesByName) -> tuple[list[int], int, int]:
    """Return the statements by bucket, the slow ones, and those of them that are slow by the event loop."""
    counts, slow, by_loop = [0] * (len(SECONDS) + 1), 0, 0
    for _, series in by_name.snapshot():
        counts = [sum(pair) for pair in zip(counts, series.seconds.snapshot()[0], strict=True)]
        slow += series.slow
        by_loop += series.slow_by_loop
    return counts, slow, by_loop


def _waits(waits: Waits) -> dict[str, Any]:
    counts = [histogram.snapshot()[0] for histogram in waits.seconds.values()]
    return {
        "pending": len(waits.pending),
        "timeouts": waits.timeouts,
        "counts": [sum(bucket) for bucket in zip(*counts, strict=True)],
    }


class _StatementTotal:
    """The executions of one statement by all RPCs."""

    __slots__ = ("longest", "parts", "query", "seconds", "times")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.times = 0
        self.seconds = self.longest = 0.0
        self.parts: list[tuple[str, StatementUsage]] = []

    def add(self, method: str, usage: StatementUsage) -> None:
        self.times += usage.times
        self.seconds += usage.seconds
        self.longest = max(self.longest, usage.longest)
        self.parts.append((method, usage))

    @property
    def mean(self) -> float:
        return self.seconds / self.times

    def show(self) -> dict[str, Any]:
        return {
            "operation": self.query.operation.name,
            "collection": self.query.operation.collection,
            "text": self.query.text[:_MAX_TEXT],
            "times": self.times,
            "seconds": self.seconds,
            "longest": self.longest,
            "methods": [
                {"method": method, "times": usage.times, "seconds": usage.seconds, "longest": usage.longest}
                for method, usage in sorted(self.parts, key=lambda part: -part[1].seconds)
            ],
        }


def _statements(methods: Iterable[MethodMetrics]) -> list[dict[str, Any]]:
    """Return the costliest statements, each once, with the RPCs that send it."""
    # There may be thousands, so they are summed in place, and only the few that are shown are converted.
    totals: dict[tuple[str, str], _StatementTotal] = {}
    for method in methods:
        for usage in method.usage.statements():
            query = usage.query
            key = (query.operation.name, query.text)
            total = totals.get(key)
            if total is None:
                total = totals[key] = _StatementTotal(query)
            total.add(method.full_method, usage)
    costliest = {
        id(statement): statement
        for measure in ("seconds", "mean", "longest")
        for statement in nlargest(_MAX_STATEMENTS, totals.values(), key=attrgetter(measure))
    }
    return [statement.show() for statement in costliest.values()]


def _suspects(methods: Iterable[MethodMetrics]) -> list[dict[str, Any]]:
    """Return the statements that single RPCs repeated, beginning with those that most RPCs repeated."""
    found = [(method, usage) for method in methods for usage in method.usage.statements() if usage.suspects]
    return [
        {
            "method": method.full_method,
            "operation": usage.query.operation.name,
            "collection": usage.query.operation.collection,
            "text": usage.query.text[:_MAX_TEXT],
            "rpcs": usage.suspects,
            "repeated": usage.repeated,
        }
        for method, usage in nlargest(_MAX_SUSPECTS, found, key=lambda part: (part[1].suspects, part[1].repeated))
    ]
