"""Listeners of others, which fail before or after those of the telemetry, disturb no count."""

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
    """An engine that nobody listens to yet."""
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
    """Its error is one, of what was being done as far as ours had heard, and the next statement is not touched."""

    def fail(*_: object) -> None:
        raise ValueError("somebody else's")

    steps: list[Callable[[], object]] = [
        lambda: event.listen(engine, when, fail),
        lambda: instrument(engine, registry=registry),
    ]
    for step in steps if first else reversed(steps):
        step()
    with engine.connect() as connection, pytest.raises(ValueError, match="somebody"):
        connection.execute(text("SELECT 1"))
    event.remove(engine, when, fail)
    known = counts()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert by(*ERRORS) == {(phase, "ValueError", "false"): 1}
    assert all(not error_type for _, _, error_type in counts())
    assert counts()[SELECT] == known.get(SELECT, 0) + 1
    assert by("db_client_operation_duration_seconds_sum", "error_type")[("",)] < 1
