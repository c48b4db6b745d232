"""How long the calls of a method take, as far as the last ones tell."""

# How much of a difference is learnt from one call: of a shorter time and of a longer one. It is to be nearer to the
# quick ones: those that are turned away for it are turned away for certain.
FASTER, SLOWER = 0.2, 0.1

# Seconds for which an estimate holds that no call has confirmed: a database that was slow may be so no more.
HOLDS = 1.0


class Estimate:
    """The time that a call of a method needs.

    Attributes:
        seconds: The estimate, 0 before the first call.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._at = 0.0

    def learn(self, seconds: float, at: float) -> None:
        """Take note of a call.

        Args:
            seconds: How long it took.
            at: When it ended, in seconds of the clock of admission.
        """
        known = self.seconds
        if known:
            self.seconds = known + (seconds - known) * (FASTER if seconds < known else SLOWER)
        else:
            self.seconds = seconds
        self._at = at

    def at(self, now: float) -> float:
        """Return the estimate, and 0 once in `HOLDS` where no call has ended since: one is let try."""
        if now - self._at > HOLDS:
            self._at = now
            return 0.0
        return self.seconds
