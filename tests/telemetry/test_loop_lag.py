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
