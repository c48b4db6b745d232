"""A loop that is blocked is seen, and one that is not is not."""

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
    """A callback that was due while the loop was blocked was late by as much."""
    probe = LoopLag(registry, interval=0.01)
    probe.start()
    probe.start()
    await eventually(lambda: total(f"{LAG}_count") >= 3)
    time.sleep(0.2)  # noqa: ASYNC251 - to block the loop
    await asyncio.sleep(0.02)
    probe.stop()
    assert total(f"{LAG}_count") - total(f"{LAG}_bucket", le="0.1") >= 1
    assert 0.15 < total(f"{LAG}_sum") < 2


async def test_a_stopped_probe_measures_nothing(registry: CollectorRegistry, total: Total) -> None:
    """Before start() and after stop() no timer runs, and either may come twice."""
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


def test_a_registry_has_one(registry: CollectorRegistry) -> None:
    """A second probe in a registry is a mistake that is told."""
    LoopLag(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        LoopLag(registry)
