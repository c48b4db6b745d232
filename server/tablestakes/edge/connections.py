"""The connections of the server: how many there may be, and that none of them only wastes its time.

gRPC's core bounds the streams of a connection, and ends one that never shakes hands or stays idle. It bounds
neither how many connections there are, nor how often a caller opens a stream to reset it at once (CVE-2023-44487),
or to send metadata without end: each has a handler started. Its sockets are files of this process, and can be
ended: see `hang_up`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic

import structlog

from tablestakes.edge.hang_up import hang_up, peers
from tablestakes.telemetry import ConnectionMetrics

log = structlog.get_logger()

# Calls of one connection that may be misused in a second. A caller who hedges cancels as many as it makes.
MOST_MISUSED = 200

# Of an address whose connection was ended for that: so few, for so many seconds.
SUSPECT_MISUSED, SUSPECT_SECONDS = 5, 60.0

# How often the connections are counted.
COUNT_SECONDS = 1.0


class Connections:
    """Ends connections that abuse the server.

    Args:
        most: How many there may be; above it those of the address with most of them are ended, the youngest first.
        metrics: Counts those that are ended.
        clock: Returns seconds that only grow.

    Attributes:
        port: The port that they were accepted on, once the server listens.
    """

    def __init__(self, most: int, metrics: ConnectionMetrics, clock: Callable[[], float] = monotonic) -> None:
        self.port = 0
        self._most = most
        self._metrics = metrics
        self._clock = clock
        self._misused: Counter[str] = Counter()
        self._suspects: dict[str, float] = {}
        self._second = 0.0
        self._counting: asyncio.Task[None] | None = None
        self._seen: dict[str, None] = {}

    def start(self, port: int) -> None:
        """Begin to count the connections that are accepted on a port."""
        self.port = port
        self._counting = asyncio.ensure_future(self._count())

    async def stop(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait((self._counting,))

    def misused(self, peer: str, reason: str) -> None:
        """Note a call that has cost a handler and was for nothing; end the connection where there are too many.

        Args:
            peer: The caller's address: `ipv4:127.0.0.1:40000`.
            reason: Why it was for nothing: cancelled_calls, large_metadata.
        """
        now = self._clock()
        if now - self._second >= 1:
            self._second = now
            self._misused.clear()
            self._suspects = {address: until for address, until in self._suspects.items() if until > now}
        self._misused[peer] += 1
        address = peer.rpartition(":")[0]
        most = SUSPECT_MISUSED if address in self._suspects else MOST_MISUSED
        if self._misused[peer] <= most or not self.port:
            return
        del self._misused[peer]
        if hang_up(self.port, lambda each: each == peer, most=1):
            self._metrics.ended(reason)
            if address not in self._suspects:
                log.warning("connection ended", peer=peer, reason=reason, most_in_a_second=most)
        self._suspects[address] = now + SUSPECT_SECONDS

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        found = peers(self.port)
        self._metrics.open(len(found))
        # In the order in which they were first seen: the oldest first.
        there = set(found)
        self._seen = dict.fromkeys((*(each for each in self._seen if each in there), *found))
        excess = len(found) - self._most
        if excess <= 0:
            return
        by_address = Counter(each.rpartition(":")[0] for each in found)
        doomed: set[str] = set()
        for peer in reversed(self._seen):
            if len(doomed) == excess:
                break
            (worst, _), *_ = by_address.most_common(1)
            if peer.rpartition(":")[0] == worst:
                doomed.add(peer)
                by_address[worst] -= 1
        ended = hang_up(self.port, doomed.__contains__)
        self._metrics.ended("too_many", ended)
        log.warning("connections ended", count=ended, most=self._most)
