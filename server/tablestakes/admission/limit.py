"""How many calls may be in progress at once: a number that is set, or one that is found.

Callers who are served wait in two places inside of a process: for a connection to the database, and for the event
loop. Both waits are measured, so the part of a call's time that is queueing is known and need not be guessed from
the shortest time ever seen (TCP Vegas, and the gradients that follow it), which differs between methods and drifts
while a service is saturated.
"""

import math
from collections.abc import Callable
from time import thread_time
from typing import Protocol

# Seconds from one adjustment to the next, and after how many calls that ended the first can be.
WINDOW, LEAST_ENDED = 0.1, 4

# The share of their time that calls may wait for a connection: a third is a queue of half the pool's size, which is
# short, and enough that no connection is idle while there is work.
MOST_WAITED = 1 / 3

# Seconds that the event loop may be late while its thread uses more than this share of a core: then the CPU is the
# limit, and more calls in progress would only make its turns longer. A large page alone makes it as late, on a core
# that is not used up, and says nothing.
MOST_LAG, SATURATED = 0.01, 0.7

# Seconds that it may be late, whatever it uses: the machine may have no more to give.
STARVED_LAG = 0.05

# By how much a limit falls at once where there is too much queueing: how late the loop is says how much too many
# calls there are, but one measurement is not to be trusted further than this.
DECREASE, STEEPEST = 0.9, 0.5

# A limit that was too large within so many windows rises by one in as many of them as it is large.
CAUTIOUS = 20


class Limit(Protocol):
    """How many calls may be in progress.

    Attributes:
        now: How many, at the moment.
    """

    now: int

    def ended(self, seconds: float, waited: float, in_progress: int, at: float) -> None:
        """Take note of a call that has ended.

        Args:
            seconds: How long it was in progress.
            waited: For how much of that it waited for a connection.
            in_progress: How many calls were in progress, itself included.
            at: The time, in seconds of the clock of admission.
        """


class FixedLimit:
    """A number that is set.

    Args:
        most: The number.
    """

    def __init__(self, most: int) -> None:
        self.now = most

    def ended(self, seconds: float, waited: float, in_progress: int, at: float) -> None:
        """Do nothing: the limit stays."""


class AdaptiveLimit:
    """A limit that is found: one more while it is used up, a tenth less while there is queueing behind it (AIMD).

    It rises only while it is used up, so a quiet hour does not make it larger than a busy one has found it to be.

    Args:
        start: Where it begins.
        least: Where it ends falling.
        most: Where it ends rising.
        lag: Returns for how many seconds the event loop was late when that was last measured.
        cpu: Returns the seconds of CPU that the event loop's thread has used.
    """

    def __init__(
        self, start: int, least: int, most: int, lag: Callable[[], float], cpu: Callable[[], float] = thread_time
    ) -> None:
        self._least, self._most, self._lag, self._cpu = least, most, lag, cpu
        # What `cpu` said when the window began, and in how many windows there has not been too much queueing.
        self._used = 0.0
        self._calm = CAUTIOUS
        self._exact = float(min(max(start, least), most))
        self.now = int(self._exact)
        # Of the window: when it began, the calls that ended in it, their time, and the most that were in progress.
        self._since = -math.inf
        self._ended = self._peak = 0
        self._seconds = self._waited = 0.0

    def ended(self, seconds: float, waited: float, in_progress: int, at: float) -> None:
        """Take note of a call that has ended, and once in a window set the limit anew."""
        self._ended += 1
        self._seconds += seconds
        self._waited += waited
        self._peak = max(self._peak, in_progress)
        if at - self._since >= WINDOW and self._ended >= LEAST_ENDED:
            self._adjust(at - self._since)
            self._since, self._ended, self._peak = at, 0, 0
            self._seconds = self._waited = 0.0

    def _adjust(self, elapsed: float) -> None:
        used = self._cpu()
        lag, saturated = self._lag(), used - self._used > SATURATED * elapsed
        self._used = used
        self._calm += 1
        if lag > STARVED_LAG or (lag > MOST_LAG and saturated):
            self._fall(max(STEEPEST, MOST_LAG / lag))
        elif self._waited > MOST_WAITED * self._seconds:
            self._fall(1.0)
        elif self._peak >= self.now:
            self._exact += 1 if self._calm > CAUTIOUS else 1 / self.now
        self._exact = min(max(self._exact, float(self._least)), float(self._most))
        self.now = int(self._exact)

    def _fall(self, share: float) -> None:
        self._exact = min(self._exact, self._peak) * min(DECREASE, share)
        self._calm = 0
