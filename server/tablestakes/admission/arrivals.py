"""Whether the event loop keeps up with the calls that arrive.

gRPC hands a new call to the event loop once the one before it has been taken: in a turn or two of the loop. Where
the loop is full of work, its turns are long and the calls that arrive stand in a queue inside of gRPC, which nobody
sees, and in which they pass their deadlines. Nothing tells its length; but while it is not empty, each call that is
taken is followed by another at once.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter

# The arrivals have been seen to after so many seconds, and after them so many turns of the loop, without one. A
# thread of gRPC hands the next one over, which takes some tenths of a millisecond; one turn may have been long.
QUIET_SECONDS, QUIET_TURNS, LATE_SECONDS = 0.001, 3, 0.002

# Seconds for which work that could begin waits for that at the most, or none would begin where calls never cease to
# arrive.
MOST_SECONDS = 0.01

# While nothing waits, one look in so many seconds, and only after so many calls.
LOOK_SECONDS, LOOK_CALLS = 0.05, 4


class Arrivals:
    """Counts the calls that arrive, and looks whether there are more behind them.

    Args:
        clock: Returns the time in seconds.

    Attributes:
        behind: Whether there were more at the last look: work is to begin only when they have been seen to.
        delay: How many seconds it took until they were.
        then: Is called with the time after each look.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.behind = False
        self.delay = 0.0
        self.then: Callable[[float], object] = lambda _: None
        self._clock = clock
        self._count = 0
        # Of the look that is under way: when it began, and how many had come when it was last not quiet.
        self._looking = False
        self._began = 0.0
        self._seen = 0
        self._next = 0.0

    def count(self, now: float) -> None:
        """Take note of a call that has arrived."""
        self._count += 1
        if now >= self._next and self._count - self._seen >= LOOK_CALLS:
            self.look(now)

    def look(self, now: float) -> None:
        """Begin to look; while that is under way already, do nothing."""
        if not self._looking:
            self._looking = True
            self._began = now
            self._listen()

    def _listen(self) -> None:
        self._seen = self._count
        until = self._clock() + QUIET_SECONDS + LATE_SECONDS
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._turn, 0, until)

    def _turn(self, turns: int, until: float) -> None:
        now = self._clock()
        # Late, it has seen nothing: the loop was busy, and took no call.
        quiet = self._count == self._seen and now <= until
        if now - self._began < MOST_SECONDS:
            if not quiet:
                self._listen()
                return
            if turns < QUIET_TURNS:
                asyncio.get_running_loop().call_soon(self._turn, turns + 1, until)
                return
        self._looking = False
        self._next = now + LOOK_SECONDS
        self.delay = now - self._began
        self.behind = not quiet
        self.then(now)
