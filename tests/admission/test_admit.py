"""Deciding about calls, with a clock of its own."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from prometheus_client import CollectorRegistry

from tablestakes.admission.admit import Admission, Entrance, Place
from tablestakes.admission.arrivals import Arrivals
from tablestakes.admission.limit import FixedLimit
from tablestakes.admission.priority import Priority
from tablestakes.admission.refusal import DISPLACED, FULL, HASTY, REASONS, Refusal
from tablestakes.telemetry import AdmissionMetrics


class Desk:
    """An admission of two calls at once, each of which takes a second of a clock that is set.

    Args:
        queue_seconds: How long one may wait.
    """

    def __init__(self, queue_seconds: float = 3.0) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        metrics = AdmissionMetrics(self.registry, [each.label for each in Priority], REASONS)
        arrivals = Arrivals(lambda: self.now)
        self.admission = Admission(FixedLimit(2), arrivals, queue_seconds, metrics, lambda: self.now)
        self.places: list[Place] = []

    def entrance(self, priority: Priority = Priority.NORMAL) -> Entrance:
        """Return an entrance to which calls have come that took a second."""
        entrance = self.admission.entrance(priority)
        entrance.usual.learn(1.0, self.now)
        return entrance

    def fill(self, entrance: Entrance) -> None:
        """Let in as many as there may be."""
        for _ in range(2):
            place = entrance.enter(None)
            assert isinstance(place, Place)
            self.places.append(place)

    def count(self, name: str, **labels: str) -> float:
        """Return a sample."""
        return self.registry.get_sample_value(name, labels) or 0.0


def queue(found: Place | Refusal | Awaitable[Any]) -> "asyncio.Task[Any]":
    """Let a call wait that must."""
    assert not isinstance(found, Place | Refusal)

    async def wait() -> Any:
        return await found

    return asyncio.create_task(wait())


async def leave(*waiting: "asyncio.Task[Any]") -> None:
    """Let the callers of calls that wait leave."""
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_no_more_are_in_progress_than_may_be() -> None:
    """A call beyond the limit waits, and begins when one of those in progress ends."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    waiting = queue(entrance.enter(None))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    assert desk.count("admission_queued", priority="normal") == 1
    desk.places[0].release(0.0)
    assert isinstance(await waiting, Place)
    assert desk.count("admission_in_progress") == 2
    assert desk.count("admission_queue_seconds_count", priority="normal") == 1


async def test_a_place_is_given_back_once() -> None:
    """Giving a place back twice makes no room for two."""
    desk = Desk()
    desk.fill(desk.entrance())
    desk.places[0].release(0.0)
    desk.places[0].release(0.0)
    assert desk.admission.in_progress == 1


async def test_what_cannot_end_by_its_deadline_is_refused_at_once() -> None:
    """A call with less time than such calls take is refused although there is room, and one with enough is not."""
    desk = Desk()
    entrance = desk.entrance()
    assert entrance.enter(0.5) is HASTY
    assert isinstance(entrance.enter(1.5), Place)
    assert desk.count("admission_refused_total", priority="normal", reason="deadline") == 1


async def test_a_wait_past_the_deadline_is_refused_at_once() -> None:
    """A call that would have to wait, and could not end by its deadline then, is refused as it comes."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    assert entrance.enter(1.2) is HASTY
    waiting = queue(entrance.enter(10.0))
    await leave(waiting)


async def test_an_estimate_that_nothing_confirms_lets_one_try() -> None:
    """Once no call has ended for a second, one is let in whose deadline seemed too short, and then no other."""
    desk = Desk()
    entrance = desk.entrance()
    desk.now += 5
    assert isinstance(entrance.enter(0.5), Place)
    assert entrance.enter(0.5) is HASTY


async def test_the_line_is_short() -> None:
    """Calls that would wait for longer than they may are refused as they come."""
    desk = Desk(queue_seconds=2.0)
    entrance = desk.entrance()
    desk.fill(entrance)
    # Two at once, each for a second: each waits half a second longer than the one before it.
    waiting = [queue(entrance.enter(None)) for _ in range(4)]
    assert entrance.enter(None) is FULL
    await leave(*waiting)


async def test_the_higher_priority_goes_first() -> None:
    """Of those who wait the one with the highest priority begins first, whenever it came."""
    desk = Desk()
    normal = desk.entrance()
    desk.fill(normal)
    later = {each: queue(desk.entrance(each).enter(None)) for each in reversed(Priority)}
    await asyncio.sleep(0)
    for priority in Priority:
        desk.now += 0.5
        desk.places.pop().release(0.0)
        place = await later[priority]
        assert isinstance(place, Place)
        desk.places.append(place)


async def test_a_higher_priority_displaces_a_lower_one() -> None:
    """Where the line is full, calls of a higher priority have the places of the last of a lower one."""
    desk = Desk(queue_seconds=1.0)
    desk.fill(desk.entrance())
    sheddable = [queue(desk.entrance(Priority.SHEDDABLE).enter(None)) for _ in range(2)]
    await asyncio.sleep(0)
    critical = [queue(desk.entrance(Priority.CRITICAL).enter(None)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await sheddable[1] is DISPLACED
    assert not any(each.done() for each in critical)
    assert desk.count("admission_refused_total", priority="sheddable", reason="displaced") >= 1
    await leave(*critical, *sheddable)


async def test_who_leaves_leaves_the_line() -> None:
    """A call whose caller leaves while it waits is not begun, and the next one is."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    first, second = queue(entrance.enter(None)), queue(entrance.enter(None))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    desk.places[0].release(0.0)
    assert isinstance(await second, Place)
    assert desk.admission.in_progress == 2
    assert desk.count("admission_left_total", priority="normal") == 1


async def test_who_leaves_as_its_turn_comes_takes_no_place() -> None:
    """A call whose caller leaves in the moment in which it is to begin gives its place back."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    waiting = queue(entrance.enter(None))
    await asyncio.sleep(0)
    desk.places[0].release(0.0)
    desk.admission.arrivals.then(desk.now)
    assert desk.admission.in_progress == 2
    waiting.cancel()
    await asyncio.wait([waiting])
    assert desk.admission.in_progress == 1


async def test_what_has_room_begins_at_once_while_nobody_is_turned_away() -> None:
    """A call in line begins in the moment in which a place is given back."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    waiting = queue(entrance.enter(None))
    await asyncio.sleep(0)
    desk.places[0].release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done(), "the arrivals were waited for"
    assert isinstance(waiting.result(), Place)


async def test_those_to_be_turned_away_go_before_what_has_room() -> None:
    """Where a call was just turned away, the next one in line waits until the arrivals have been seen to."""
    desk = Desk()
    entrance = desk.entrance()
    desk.fill(entrance)
    waiting = queue(entrance.enter(None))
    await asyncio.sleep(0)
    assert entrance.enter(0.5) is HASTY
    desk.places[0].release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert isinstance(await waiting, Place)


async def test_every_series_is_there_from_the_start() -> None:
    """Each priority and reason has a sample at zero before the first call."""
    desk = Desk()
    for priority in Priority:
        for reason in REASONS:
            labels = {"priority": priority.label, "reason": reason}
            assert desk.registry.get_sample_value("admission_refused_total", labels) == 0
        assert desk.registry.get_sample_value("admission_queued", {"priority": priority.label}) == 0
        assert desk.registry.get_sample_value("admission_left_total", {"priority": priority.label}) == 0
    assert desk.registry.get_sample_value("admission_limit") == 2
