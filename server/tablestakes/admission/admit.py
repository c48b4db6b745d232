"""Deciding about each call that arrives: it begins, it waits, or it is turned away."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from tablestakes.admission.arrivals import Arrivals
from tablestakes.admission.estimate import Estimate
from tablestakes.admission.limit import Limit
from tablestakes.admission.line import Line, Waiting
from tablestakes.admission.priority import Priority
from tablestakes.admission.refusal import DISPLACED, FULL, HASTY, LATE, Refusal
from tablestakes.telemetry import AdmissionMetrics

# How many calls may wait, whatever is expected of their waits: they cost memory.
MOST_WAITING = 1000

# How much of a new interval between two calls' ends is learnt.
LEARNT = 0.1

# The share of the time until a deadline that a call is expected to end within, if it is to wait: that is not
# certain, and a call that ends just after its deadline has cost as much as any other.
CERTAIN = 0.7

# For how many seconds after a call was turned away those in line begin only when the arrivals have been seen to.
# While nobody is turned away nothing behind them is in a hurry, and what could begin would wait for nothing.
HURRIED = 1.0

# How many times as long as one is expected to wait at the most a call that stands in line waits at the most.
PATIENCE = 2.0


class Admission:
    """Bounds the calls in progress, and lets few others wait.

    A call in progress keeps its place until its work has ended, also where its caller has left by then. The others
    wait in line; the expected wait follows from how fast the calls in progress end. A call that would wait longer
    than it may, or that cannot end by its deadline, is turned away as it comes, and so none waits in vain.

    Args:
        limit: How many may be in progress.
        arrivals: Tell whether the event loop keeps up with the calls that arrive.
        queue_seconds: How long one may wait at the most.
        metrics: Count what is decided.
        clock: Returns the time in seconds.

    Attributes:
        in_progress: How many are in progress.
    """

    def __init__(
        self,
        limit: Limit,
        arrivals: Arrivals,
        queue_seconds: float,
        metrics: AdmissionMetrics,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.limit = limit
        self.metrics = metrics
        self.clock = clock
        self.in_progress = 0
        self.line = Line()
        self._queue_seconds = queue_seconds
        # Seconds between the ends of two calls while others wait, 0 where that is not known; and the last end.
        self._interval = 0.0
        self._last_end = 0.0
        self._hurried_until = 0.0
        self.arrivals = arrivals
        arrivals.then = self._begin
        metrics.limit = lambda: limit.now
        metrics.in_progress = lambda: self.in_progress
        metrics.queued = lambda priority: self.line.of(Priority(priority))

    def entrance(self, priority: Priority) -> "Entrance":
        """Return the entrance of a method's calls.

        Args:
            priority: The method's priority.
        """
        return Entrance(self, priority)

    def wait(self, entrance: "Entrance", left: float | None, now: float) -> "Refusal | Awaitable[Place | Refusal]":
        """Let a call wait, or turn it away.

        Args:
            entrance: Its method's entrance.
            left: The seconds until its deadline, None without one.
            now: The time.
        """
        line, priority, needed = self.line, entrance.priority, entrance.usual.seconds
        if line.length >= MOST_WAITING and line.last(priority) is None:
            return self.refuse(priority, FULL)
        expected = self._expected(line.ahead(priority) + 1, needed, now)
        if left is not None and expected + needed > left * CERTAIN:
            return self.refuse(priority, HASTY)
        if not self._queue_seconds or expected > self._queue_seconds:
            return self.refuse(priority, FULL)
        # Once it stands in line it may wait longer than was expected, but not much longer.
        until = now + PATIENCE * self._queue_seconds
        if left is not None:
            until = min(until, now + left - needed)
        decided: asyncio.Future[Place | Refusal] = asyncio.get_running_loop().create_future()
        waiting = Waiting(entrance, now, until, decided)
        if not line.length:
            # Nobody has waited, so that how fast the line moves is yet to be seen.
            self._interval, self._last_end = needed / max(1, self.limit.now), now
        line.join(waiting)
        self._displace(priority, needed, now)
        self._let_begin(now)
        return self._decided(waiting)

    async def _decided(self, waiting: Waiting) -> "Place | Refusal":
        """Wait for what is decided about a call that stands in line."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, waiting.until - waiting.since), self._turn_away, waiting, LATE)
        priority = waiting.entrance.priority
        try:
            found: Place | Refusal = await waiting.decided
        except asyncio.CancelledError:
            if not self.line.leave(waiting) and waiting.decided.done() and not waiting.decided.cancelled():
                # Its turn came in the same moment.
                given = waiting.decided.result()
                if isinstance(given, Place):
                    given.release()
            self.metrics.left(priority)
            raise
        finally:
            timer.cancel()
            self.metrics.waited(priority, self.clock() - waiting.since)
        return found

    def refuse(self, priority: Priority, refusal: Refusal) -> Refusal:
        """Count a call that is turned away, and return why it is."""
        self._hurried_until = self.clock() + HURRIED
        self.metrics.refused(priority, refusal.reason)
        return refusal

    def _expected(self, position: int, needed: float, now: float) -> float:
        """Return how long a call is expected to wait that comes to a position of the line, the first being 1."""
        if not self.line.length:
            return position * needed / max(1, self.limit.now)
        # Where nobody has left for a while the line does not move as fast as it did.
        return max(position * self._interval, now - self._last_end)

    def _displace(self, priority: Priority, needed: float, now: float) -> None:
        """Turn away those of lower priorities whose wait has become too long by one that has joined the line."""
        while (last := self.line.last(priority)) is not None:
            if self.line.length <= MOST_WAITING:
                expected = now + self._expected(self.line.ahead(last.entrance.priority), needed, now)
                if expected <= min(last.until, last.since + self._queue_seconds):
                    return
            self._turn_away(last, DISPLACED)

    def _turn_away(self, waiting: Waiting, refusal: Refusal) -> None:
        if self.line.leave(waiting) and not waiting.decided.done():
            waiting.decided.set_result(self.refuse(waiting.entrance.priority, refusal))

    def released(self, now: float) -> None:
        """Take note of a place that is free again."""
        self.in_progress -= 1
        if not self.line.length:
            return
        interval = now - self._last_end
        self._interval = self._interval + (interval - self._interval) * LEARNT if self._interval else interval
        self._last_end = now
        self._let_begin(now)

    def is_behind(self, now: float) -> bool:
        """Return whether there may be calls behind those that have arrived which are to be turned away first."""
        return self.arrivals.behind and now < self._hurried_until

    def _let_begin(self, now: float) -> None:
        if now < self._hurried_until:
            self.arrivals.look(now)
        else:
            self._begin(now)

    def _begin(self, now: float) -> None:
        """Let those begin whose turn it is, once the event loop has seen to the calls that arrive."""
        while self.in_progress < self.limit.now and (first := self.line.first()) is not None:
            self.line.leave(first)
            if first.decided.done():
                continue
            if now > first.until:
                first.decided.set_result(self.refuse(first.entrance.priority, LATE))
                continue
            first.decided.set_result(Place(self, first.entrance, now))


class Entrance:
    """Where the calls of one method come in.

    Args:
        admission: Decides about them.
        priority: Their priority.

    Attributes:
        priority: Their priority.
        usual: How long they take as a rule, once they have a place.
    """

    __slots__ = ("_admission", "priority", "usual")

    def __init__(self, admission: Admission, priority: Priority) -> None:
        self._admission = admission
        self.priority = priority
        self.usual = Estimate()

    def enter(self, left: float | None) -> "Place | Refusal | Awaitable[Place | Refusal]":
        """Return the place of a call that has arrived, or why it is turned away, or what to await for either.

        Args:
            left: The seconds until its deadline, None without one.
        """
        admission = self._admission
        now = admission.clock()
        admission.arrivals.count(now)
        if left is not None and left < self.usual.at(now):
            return admission.refuse(self.priority, HASTY)
        if admission.in_progress < admission.limit.now and not (admission.line.length or admission.is_behind(now)):
            return Place(admission, self, now)
        return admission.wait(self, left, now)


class Place:
    """The place of a call in progress.

    Args:
        admission: Gave it.
        entrance: Where the call came in.
        now: When.
    """

    __slots__ = ("_admission", "_entrance", "_since")

    def __init__(self, admission: Admission, entrance: Entrance, now: float) -> None:
        self._admission = admission
        self._entrance: Entrance | None = entrance
        self._since = now
        admission.in_progress += 1

    def release(self, waited: float | None = None) -> None:
        """Give the place back; a second time does nothing.

        Args:
            waited: For how many seconds the call waited for a connection. None for a call that tells nothing about
                how long such calls take: it failed, it left, or it goes on without a place.
        """
        entrance, admission = self._entrance, self._admission
        if entrance is None:
            return
        self._entrance = None
        now = admission.clock()
        if waited is not None:
            seconds = now - self._since
            entrance.usual.learn(seconds, now)
            admission.limit.ended(seconds, waited, admission.in_progress, now)
        admission.released(now)
