"""What has been counted so far, in plain numbers, for the page that shows it."""

import json
import math
import time
from collections.abc import Iterable, Sequence
from heapq import nlargest
from operator import attrgetter
from typing import Any

from ..engine.instrument import Instrumentation, failures
from ..engine.statement import Statements
from ..engine.waiting import Waits
from ..lag import LoopLag
from ..meter.histogram import SECONDS
from ..query import Query
from ..rpc.method import BUCKETS, MethodMetrics, RpcMetrics
from ..rpc.spending import Spent

# Of the statements the costliest by each measure, so that the page can order them by any.
_MOST = 25
_SUSPECTS = 50
_TEXT = 2_000


class Live:
    """Reads the counters of a program as they are now.

    Everything is cumulative: who reads it twice knows what happened in between. Nothing is kept between two
    readings, and nothing is added to what a statement or an RPC costs. SQL has placeholders, never values.

    Args:
        name: What the program is called.
        version: Which version of it runs, "" if it has none.
        engines: What listens to its engines.
        rpcs: Its RPCs, None if it serves none.
        lag: The lag of its event loop, None if nobody measures it.
    """

    def __init__(
        self,
        name: str,
        version: str = "",
        *,
        engines: Sequence[Instrumentation] = (),
        rpcs: RpcMetrics | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self._engines = tuple(engines)
        self._rpcs = rpcs
        self._lag = lag
        self._started = time.time()
        self._began = time.monotonic()

    def render(self) -> bytes:
        """Return the reading as JSON, in ASCII."""
        # What was logged of a slow query is the listeners' and the trace's: whatever it is, it can be shown.
        return json.dumps(self.read(), allow_nan=False, default=str, separators=(",", ":")).encode("ascii")

    def read(self) -> dict[str, Any]:
        """Return the reading.

        Times are seconds, moments seconds since 1970, and a histogram is the counts of its buckets, not
        cumulated, the last for what is above the last of its `bounds`. `started` tells one run of the program
        from the next, whose counters begin at zero again.
        """
        methods = [] if self._rpcs is None else self._rpcs.methods()
        return {
            "name": self.name,
            "version": self.version,
            "started": self._started,
            "uptime": time.monotonic() - self._began,
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


def _method(method: MethodMetrics) -> dict[str, Any]:
    started, codes = method.counts()
    counts, total = method.handling()
    return {
        "method": method.full_method,
        "started": started,
        "codes": {code: count for code, count in codes.items() if count},
        "counts": counts,
        "seconds": total,
        "statements": method.spending.sent(),
        "phases": method.spending.phases(),
    }


def _engine(engine: Instrumentation) -> dict[str, Any]:
    system, pool = engine.labels
    idle, used = engine.connections.counts()
    maximum = engine.connections.maximum()
    counts, slow = _operations(engine.statements)
    return {
        "system": system,
        "pool": pool,
        "bounds": SECONDS,
        "counts": counts,
        "slow": {"threshold": engine.slow.threshold, "times": slow, "recent": engine.slow.recent},
        "connections": {
            "idle": idle,
            "used": used,
            # JSON has no infinity: null is no limit, or none that the pool tells.
            "max": maximum if maximum is not None and math.isfinite(maximum) else None,
            "created": engine.lifecycle.created(),
            "closed": {cause: count for cause, count in engine.lifecycle.closed().items() if count},
        },
        "waits": _waits(engine.waits) if engine.tells_waits else None,
        "errors": [
            {"phase": phase, "error_type": kind, "disconnect": lost == "true", "times": times}
            for (phase, kind, lost), times in engine.errors.counts().items()
        ],
    }


def _operations(statements: Statements) -> tuple[list[int], int]:
    counts, slow = [0] * (len(SECONDS) + 1), 0
    for _, series in statements.snapshot():
        counts = [sum(pair) for pair in zip(counts, series.seconds.snapshot()[0], strict=True)]
        slow += series.slow
    return counts, slow


def _waits(waits: Waits) -> dict[str, Any]:
    counts = [histogram.snapshot()[0] for histogram in waits.seconds.values()]
    return {
        "pending": len(waits.pending),
        "timeouts": waits.timeouts,
        "counts": [sum(bucket) for bucket in zip(*counts, strict=True)],
    }


class _Statement:
    """What all RPCs together have spent on one statement."""

    __slots__ = ("longest", "parts", "query", "seconds", "times")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.times = 0
        self.seconds = self.longest = 0.0
        self.parts: list[tuple[str, Spent]] = []

    def add(self, method: str, spent: Spent) -> None:
        self.times += spent.times
        self.seconds += spent.seconds
        self.longest = max(self.longest, spent.longest)
        self.parts.append((method, spent))

    @property
    def mean(self) -> float:
        return self.seconds / self.times

    def show(self) -> dict[str, Any]:
        return {
            "operation": self.query.operation.name,
            "collection": self.query.operation.collection,
            "text": self.query.text[:_TEXT],
            "times": self.times,
            "seconds": self.seconds,
            "longest": self.longest,
            "methods": [
                {"method": method, "times": spent.times, "seconds": spent.seconds, "longest": spent.longest}
                for method, spent in sorted(self.parts, key=lambda part: -part[1].seconds)
            ],
        }


def _statements(methods: Iterable[MethodMetrics]) -> list[dict[str, Any]]:
    """Return the costliest statements, each once, with the RPCs that send it."""
    # There may be thousands, so they are added up in place and only the few that are told are written out.
    found: dict[tuple[str, str], _Statement] = {}
    for method in methods:
        for spent in method.spending.statements():
            query = spent.query
            key = (query.operation.name, query.text)
            known = found.get(key)
            if known is None:
                known = found[key] = _Statement(query)
            known.add(method.full_method, spent)
    told = {
        id(statement): statement
        for measure in ("seconds", "mean", "longest")
        for statement in nlargest(_MOST, found.values(), key=attrgetter(measure))
    }
    return [statement.show() for statement in told.values()]


def _suspects(methods: Iterable[MethodMetrics]) -> list[dict[str, Any]]:
    """Return the statements that single RPCs repeated, those that most RPCs did first."""
    found = [(method, spent) for method in methods for spent in method.spending.statements() if spent.suspects]
    return [
        {
            "method": method.full_method,
            "operation": spent.query.operation.name,
            "collection": spent.query.operation.collection,
            "text": spent.query.text[:_TEXT],
            "rpcs": spent.suspects,
            "repeated": spent.repeated,
        }
        for method, spent in nlargest(_SUSPECTS, found, key=lambda part: (part[1].suspects, part[1].repeated))
    ]
