"""The last five minutes of a program's counters, so that a chart is full when somebody opens the page."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

_log = logging.getLogger("tablestakes.telemetry")
INTERVAL = 2.0
"""Seconds between two samples."""
MAX_SAMPLES = 150
# Each of these is a whole reading, which is ten times as large as a sample, and serves the figures of a minute.
_READING_EVERY = 5
_MAX_READINGS = 8
# Seconds that the figures of the page cover.
_MINUTE = 60.0

Sample = dict[str, Any]


class History:
    """Takes samples at intervals, in a thread of its own, and keeps the last ones.

    An event loop that is late would not take its samples when they matter most, so a thread does. A sample costs
    half a millisecond for 80 methods, and all that is kept takes less than two megabytes.

    Args:
        sample: Returns the counters that charts need; `time` is their time in seconds since the start.
        read: Returns the counters that the figures of a minute need, with their time as `uptime`.
        interval: Seconds between two samples.
    """

    def __init__(
        self, sample: Callable[[], Sample], read: Callable[[], Sample], *, interval: float = INTERVAL
    ) -> None:
        self._sample = sample
        self._read = read
        self._interval = interval
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._readings: deque[Sample] = deque(maxlen=_MAX_READINGS)
        self._stopped = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to take samples, and take the first one now; a second call does nothing."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = Thread(target=self._run, name="history", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Take no more samples; a second call does nothing."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def since(self, time: float) -> list[Sample]:
        """Return the samples after a time, the oldest first."""
        return [sample for sample in self._samples.copy() if sample["time"] > time]

    def before_minute(self, now: float) -> Sample | None:
        """Return the last reading that is a minute older than `now`, or else the oldest, None without any."""
        readings = self._readings.copy()
        old = [reading for reading in readings if reading["uptime"] <= now - _MINUTE]
        return old[-1] if old else readings[0] if readings else None

    def _run(self) -> None:
        number = 0
        while True:
            try:
                self._samples.append(self._sample())
                if number % _READING_EVERY == 0:
                    self._readings.append(self._read())
            except Exception:  # noqa: BLE001 - the history goes on after a sample that failed
                _log.debug("a sample of the history failed", exc_info=True)
            number += 1
            if self._stopped.wait(self._interval):
                return
