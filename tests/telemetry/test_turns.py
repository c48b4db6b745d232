"""Renderings take turns, are shared by those who wait, and pause when they have taken their share."""

import asyncio
from time import thread_time
from types import SimpleNamespace

import pytest

from tablestakes.telemetry.show.turns import BURST, MAX_WAITING, SHARE, BusyError, Turns


def spin(seconds: float) -> None:
    """Spend CPU."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


async def test_those_who_wait_share_a_rendering() -> None:
    """All who ask for a page before its turn get the same result; who asks after it gets a new one."""
    taken, rendered = Turns(), iter(range(10))
    assert await asyncio.gather(*(taken.take("page", lambda: next(rendered)) for _ in range(5))) == [0] * 5
    assert await taken.take("page", lambda: next(rendered)) == 1


async def test_other_pages_are_rendered_apart() -> None:
    """Each page has its own rendering, in the order in which they were asked for."""
    taken, order = Turns(), list[str]()
    await asyncio.gather(*(taken.take(name, lambda name=name: order.append(name)) for name in "abcab"))  # type: ignore[misc]
    assert order == ["a", "b", "c"]


async def test_a_failure_reaches_all_and_ends() -> None:
    """An exception of a rendering is raised for all who wait for it, and the next one is rendered."""
    taken = Turns()
    found = await asyncio.gather(*(taken.take("page", lambda: 1 // 0) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in found] == [ZeroDivisionError] * 2
    assert await taken.take("page", lambda: 1) == 1


async def test_who_leaves_does_not_take_the_rendering_along() -> None:
    """If one of two who wait leaves, the other still gets the result."""
    taken = Turns()
    leaving, staying = (asyncio.ensure_future(taken.take("page", lambda: 1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1


async def test_renderings_pause_after_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken beyond the burst is paused for at the share's rate before the next rendering."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    # In place of the module's own name: others of this loop sleep as well.
    monkeypatch.setattr(
        "tablestakes.telemetry.show.turns.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": pause})
    )
    taken = Turns()
    await taken.take("page", lambda: spin(BURST * 2))
    assert pauses == []
    await taken.take("page", lambda: None)
    [paused] = pauses
    # What passed meanwhile counts, at the share's rate; it passed at least as fast as CPU was spent.
    assert 0 < paused <= BURST / SHARE


async def test_only_so_many_pages_wait() -> None:
    """One page more than may wait is refused at once, and those that wait are rendered."""
    taken = Turns()
    waiting = [asyncio.ensure_future(taken.take(number, lambda: 1)) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await taken.take("one more", lambda: 1)
    assert await asyncio.gather(*waiting) == [1] * MAX_WAITING
