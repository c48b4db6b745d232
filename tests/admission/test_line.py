"""The line of calls that wait, against a list that is sorted."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tablestakes.admission.line import Line, Waiting
from tablestakes.admission.priority import Priority

steps = st.lists(
    st.one_of(
        st.sampled_from(Priority).map(lambda priority: ("join", priority)),
        st.integers(0, 50).map(lambda number: ("leave", number)),
        st.just(("next", 0)),
    )
)


class AnyEntrance:
    """An entrance that has a priority and nothing else."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority


@given(steps)
def test_it_is_in_order(given_steps: list[tuple[str, Any]]) -> None:
    """The next is the first that came of the highest priority, whoever joins and leaves; the last the reverse."""
    line, number = Line(), 0
    expected: list[tuple[Priority, int, Waiting]] = []
    loop = asyncio.new_event_loop()
    try:
        for step, argument in given_steps:
            if step == "join":
                waiting = Waiting(AnyEntrance(argument), 0.0, 1.0, loop.create_future())  # type: ignore[arg-type]
                line.join(waiting)
                expected.append((argument, number, waiting))
                number += 1
            elif step == "leave" and expected:
                gone = expected.pop(argument % len(expected))[2]
                assert line.leave(gone)
                assert not line.leave(gone)
            elif step == "next":
                first = line.first()
                assert first is (expected[0][2] if expected else None)
                if first is not None:
                    line.leave(first)
                    del expected[0]
            expected.sort(key=lambda each: each[:2])
            assert line.length == len(expected)
            for priority in Priority:
                assert line.of(priority) == sum(each[0] == priority for each in expected)
                assert line.ahead(priority) == sum(each[0] <= priority for each in expected)
                below = [each[2] for each in expected if each[0] > priority]
                assert line.last(priority) is (below[-1] if below else None)
    finally:
        loop.close()
