"""The lag of a blocked event loop is measured."""

import asyncio
import time
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from tablestakes.telemetry import LoopLag
from tests.serving import eventually

Total = Callable[..., float]
LAG = "event_loop_lag_seconds"


async def test_a_blocked_loop_lags(registry: CollectorRegistry, total: Total) -> None:
    """A callback that is due while the loop is blocked is late by that time."""
    start = time.perf_counter()
    probe = LoopLag(registry, interval=0.01)
    probe.start()
    probe.start()
    await eventually(lambda: total(f"{LAG}_count") >= 3)
    before = time.perf_counter()
    time.sleep(0.2)  # noqa: ASYNC251 - to block the loop
    blocked = time.perf_counter() - before
    await asyncio.sleep(0.02)
    probe.stop()
    assert total(f"{LAG}_count") - total(f"{LAG}_bucket", le="0.1") >= 1
    # The callback was due at most an interval after the loop was blocked.
    assert blocked - 0.01 < total(f"{LAG}_sum") < time.perf_counter() - start


async def test_a_stopped_probe_measures_nothing(registry: CollectorRegistry, total: Total) -> None:
    """Before start() and after stop() no timer runs, and calling either again does nothing."""
    probe = LoopLag(registry, interval=0.001)
    probe.stop()
    assert total(f"{LAG}_count") == 0
    probe.start()
    await eventually(lambda: total(f"{LAG}_count"))
    probe.stop()
    probe.stop()
    before = total(f"{LAG}_count")
    await asyncio.sleep(0.01)
    assert total(f"{LAG}_count") == before


def test_a_registry_has_one_probe(registry: CollectorRegistry) -> None:
    """A second probe in a registry raises ValueError."""
    LoopLag(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        LoopLag(registry)


async def test_the_lag_during_a_time_is_known(registry: CollectorRegistry) -> None:
    """The lag of a time is the part for which the loop was blocked, and of a time before it is none of that."""
    probe = LoopLag(registry, interval=0.001)
    probe.start()
    before = time.perf_counter()
    await asyncio.sleep(0.02)
    start = time.perf_counter()
    quiet = probe.during(before, start)
    time.sleep(0.2)  # noqa: ASYNC251 - to block the loop
    blocked = time.perf_counter() - start
    # The timer is overdue, but has not run yet.
    overdue = probe.during(start, time.perf_counter())
    await asyncio.sleep(0.01)
    end = time.perf_counter()
    known = probe.during(start, end)
    half = probe.during(start + blocked / 2, end)
    probe.stop()
    assert blocked - 0.002 <= overdue
    assert overdue - 0.002 <= known <= end - start
    assert known - half == pytest.approx(blocked / 2, abs=0.003)
    assert quiet < start - before
    assert probe.during(before, start) == pytest.approx(quiet, abs=0.002), "a later delay is not of this time"


async def test_a_stopped_probe_is_never_late(registry: CollectorRegistry) -> None:
    """A probe that does not run explains nothing."""
    probe = LoopLag(registry)
    assert probe.during(0.0, time.perf_counter()) == 0
