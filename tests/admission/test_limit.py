"""The limit that is found: it settles where more calls would only wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablestakes.admission.limit import MOST_LAG, STARVED_LAG, AdaptiveLimit, FixedLimit

endings = st.lists(
    st.tuples(st.floats(0.001, 1), st.floats(0, 1), st.integers(1, 200), st.floats(0, 0.5)), max_size=200
)


@given(endings, st.integers(1, 20), st.integers(20, 100), st.floats(0, 1))
def test_it_stays_between_its_bounds(
    ended: list[tuple[float, float, int, float]], least: int, most: int, lag: float
) -> None:
    """Whatever calls do, the limit is never below the least nor above the most."""
    limit, now = AdaptiveLimit(16, least, most, lambda: lag), 0.0
    for seconds, share, in_progress, pause in ended:
        now += pause
        limit.ended(seconds, seconds * share, in_progress, now)
        assert least <= limit.now <= most


def saturate(limit: AdaptiveLimit, pool: int, seconds: float, service: float = 0.05, now: float = 0.0) -> None:
    """Keep as many calls in progress as the limit lets, over a pool of connections that each call needs one of."""
    until = now + seconds
    while now < until:
        in_progress = limit.now
        busy = min(in_progress, pool)
        took = service * in_progress / busy
        now += service / busy
        limit.ended(took, took - service, in_progress, now)


@pytest.mark.parametrize("start", [2, 16, 500])
@pytest.mark.parametrize("pool", [4, 8, 32])
def test_it_finds_what_a_pool_serves(start: int, pool: int) -> None:
    """From anywhere it comes to where every connection is busy and the queue behind them is short."""
    limit = AdaptiveLimit(start, 2, 1000, lambda: 0.0)
    saturate(limit, pool, 60)
    assert pool <= limit.now <= 2 * pool


class Core:
    """The CPU of an event loop whose calls each take some of it, one after the other.

    Args:
        each: The seconds that each takes.
        share: The share of the time that the loop's thread uses.
    """

    def __init__(self, each: float, share: float) -> None:
        self.each, self.share, self.now = each, share, 0.0
        self.limit = AdaptiveLimit(16, 2, 1000, self.lag, lambda: self.share * self.now)

    def lag(self) -> float:
        """Return how late the loop is: for as long as the calls in progress take."""
        return self.each * (self.limit.now - 1)

    def run(self, seconds: float) -> None:
        """Keep as many calls in progress as the limit lets."""
        until = self.now + seconds
        while self.now < until:
            self.now += self.each
            self.limit.ended(self.each * self.limit.now, 0.0, self.limit.now, self.now)


@pytest.mark.parametrize(("each", "least", "most"), [(0.02, 2, 3), (0.01, 2, 3), (0.002, 4, 7), (0.001, 8, 13)])
def test_it_finds_what_a_core_serves(each: float, least: int, most: int) -> None:
    """Where the CPU is the limit it comes to as many calls as keep the event loop's turns short."""
    core = Core(each, share=1.0)
    core.run(20)
    assert least <= core.limit.now <= most


def test_it_falls_within_a_second() -> None:
    """A hundred calls that the event loop cannot carry become two in a second, before their callers have left."""
    core = Core(0.012, share=1.0)
    core.limit = AdaptiveLimit(100, 2, 1000, core.lag, lambda: core.now)
    core.run(1.0)
    assert core.limit.now <= 3


def test_a_large_page_does_not_make_it_fall() -> None:
    """A loop that is late now and then on a core that is not used up lets as many calls in as the pool serves."""
    limit = AdaptiveLimit(16, 2, 1000, lambda: 2 * MOST_LAG, lambda: 0.0)
    saturate(limit, 8, 60)
    assert limit.now >= 8


def test_it_falls_where_the_machine_has_no_more_to_give() -> None:
    """A loop that is very late makes it fall to the least, however little of a core it gets."""
    limit = AdaptiveLimit(100, 2, 1000, lambda: 2 * STARVED_LAG, lambda: 0.0)
    saturate(limit, 1000, 60)
    assert limit.now == 2


def test_it_rises_slowly_where_it_was_too_large() -> None:
    """Within two seconds after it has fallen it rises by a fraction of what it does later."""
    lag = 2 * STARVED_LAG
    limit = AdaptiveLimit(16, 10, 1000, lambda: lag, lambda: 0.0)
    saturate(limit, 1000, 2, service=0.01)
    assert limit.now == 10
    lag = 0.0
    saturate(limit, 1000, 1.5, service=0.01, now=2.0)
    assert limit.now <= 12
    saturate(limit, 1000, 3.0, service=0.01, now=3.5)
    assert limit.now >= 20


def test_it_does_not_rise_unless_it_is_used_up() -> None:
    """A quiet hour does not make the limit larger."""
    limit = AdaptiveLimit(16, 2, 1000, lambda: 0.0)
    for number in range(36_000):
        limit.ended(0.01, 0.0, 3, number / 10)
    assert limit.now == 16


def test_a_fixed_one_stays() -> None:
    """A limit that is set stays, whatever calls wait for."""
    limit = FixedLimit(5)
    limit.ended(1.0, 1.0, 5, 1.0)
    assert limit.now == 5
