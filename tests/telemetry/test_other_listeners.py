"""Other listeners of an engine may fail without disturbing the counts."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine, event, text

from tablestakes.telemetry import instrument

Counts = Callable[[], dict[tuple[str, str, str], float]]
By = Callable[..., dict[tuple[str, ...], float]]
ERRORS = ("db_client_errors_total", "phase", "error_type", "disconnect")
SELECT = ("SELECT", "raw", "")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine without listeners."""
    made = create_engine(f"sqlite:///{tmp_path / 'others.db'}")
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("when", "first", "phase"),
    [
        pytest.param("before_cursor_execute", True, "compile", id="before it, ahead of ours"),
        pytest.param("before_cursor_execute", False, "compile", id="before it, behind ours"),
        pytest.param("after_cursor_execute", True, "fetch", id="after it, ahead of ours"),
        pytest.param("after_cursor_execute", False, "fetch", id="after it, behind ours"),
    ],
)
def test_a_listener_that_fails(
    engine: Engine,
    registry: CollectorRegistry,
    counts: Counts,
    by: By,
    when: str,
    phase: str,
    *,
    first: bool,
) -> None:
    """A failing listener is one error, of `compile` before the statement was sent and of `fetch` after it."""
    start = time.perf_counter()

    def fail(*_: object) -> None:
        raise ValueError("another listener")

    steps: list[Callable[[], object]] = [
        lambda: event.listen(engine, when, fail),
        lambda: instrument(engine, registry=registry),
    ]
    for step in steps if first else reversed(steps):
        step()
    with engine.connect() as connection, pytest.raises(ValueError, match="another listener"):
        connection.execute(text("SELECT 1"))
    event.remove(engine, when, fail)
    before = counts()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert by(*ERRORS) == {(phase, "ValueError", "false"): 1}
    assert all(not error_type for _, _, error_type in counts())
    assert counts()[SELECT] == before.get(SELECT, 0) + 1
    assert by("db_client_operation_duration_seconds_sum", "error_type")[("",)] < time.perf_counter() - start
