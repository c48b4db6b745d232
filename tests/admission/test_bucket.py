"""Token buckets: whatever a caller does, it makes no more calls than it may."""

from hypothesis import given
from hypothesis import strategies as st

from tablestakes.admission.bucket import Buckets

waits = st.lists(st.floats(0, 5), min_size=1, max_size=60)


@given(waits, st.floats(0.5, 50), st.integers(1, 20))
def test_a_caller_gets_no_more_than_rate_and_burst(pauses: list[float], rate: float, burst: int) -> None:
    """In any time a caller is let through at most its burst, and its rate times that time."""
    buckets, now, let = Buckets(rate, burst), 0.0, []
    for pause in pauses:
        now += pause
        if not buckets.take("ann", now):
            let.append(now)
    for first, began in enumerate(let):
        for last in range(first, len(let)):
            assert last - first + 1 <= burst + rate * (let[last] - began) + 1e-6


@given(waits, st.floats(0.5, 50), st.integers(1, 20))
def test_who_waits_as_told_is_let_through(pauses: list[float], rate: float, burst: int) -> None:
    """A caller that comes back when it was told to is let through, and waits no longer than for one token."""
    buckets, now = Buckets(rate, burst), 0.0
    for pause in pauses:
        now += pause
        while wait := buckets.take("ann", now):
            assert wait <= 1 / rate
            now += wait + 1e-9


def test_callers_have_buckets_of_their_own() -> None:
    """One caller's calls cost no other caller anything."""
    buckets = Buckets(1, 1)
    assert [buckets.take(name, 0.0) for name in ("ann", "bob", "ann", "bob")] == [0, 0, 1, 1]


def test_few_callers_are_kept() -> None:
    """However many callers come, those seen last are kept and no others."""
    buckets = Buckets(1, 1, most=3)
    for number in range(100):
        buckets.take(number, 0.0)
    assert len(buckets) == 3
    assert buckets.take(99, 0.0) > 0
    assert buckets.take(0, 0.0) == 0
