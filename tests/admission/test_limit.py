"""The limit that is found: it settles where more calls would only wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablestakes.admission.limit import MOST_LAG, AdaptiveLimit, FixedLimit

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


def saturate(limit: AdaptiveLimit, pool: int, seconds: float, service: float = 0.05) -> None:
    """Keep as many calls in progress as the limit lets, over a pool of connections that each call needs one of."""
    now, until = 0.0, seconds
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


def test_it_falls_where_the_event_loop_is_late() -> None:
    """While the event loop is late the limit falls to the least, however little calls wait for connections."""
    limit = AdaptiveLimit(100, 2, 1000, lambda: 2 * MOST_LAG)
    saturate(limit, 1000, 60)
    assert limit.now == 2


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
