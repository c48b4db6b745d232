"""An engine is instrumented once, the instrumentation can be removed, and it never disturbs a query."""

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import instrument
from tests.telemetry.engine_labels import IN_A_FILE

Counts = Callable[[], dict[tuple[str, str, str], float]]
SELECT = ("SELECT", "raw", "")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine without listeners."""
    made = create_engine(f"sqlite:///{tmp_path / 'instrument.db'}")
    yield made
    made.dispose()


def _select(engine: Engine, times: int = 1) -> None:
    with engine.connect() as connection:
        for _ in range(times):
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_instrumenting_again_returns_the_same(engine: Engine, registry: CollectorRegistry, counts: Counts) -> None:
    """A second call returns the same instrumentation, and nothing is counted twice."""
    first = instrument(engine, registry=registry)
    assert instrument(engine, registry=registry) is first
    assert instrument(engine.execution_options(isolation_level="AUTOCOMMIT"), registry=registry) is first
    _select(engine)
    assert counts() == {SELECT: 1}


async def test_an_async_engine_is_its_synchronous_one(tmp_path: Path, registry: CollectorRegistry) -> None:
    """An AsyncEngine, its synchronous engine and engines derived from them have the same instrumentation."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    first = instrument(engine, registry=registry)
    assert instrument(engine.sync_engine, registry=registry) is first
    assert instrument(engine.execution_options(isolation_level="AUTOCOMMIT"), registry=registry) is first
    await engine.dispose()


def test_derived_engines_are_covered(engine: Engine, registry: CollectorRegistry, counts: Counts) -> None:
    """Engines made by execution_options() are covered, also if one of them was instrumented or made before."""
    before = engine.execution_options(isolation_level="AUTOCOMMIT")
    instrument(before, registry=registry)
    after = engine.execution_options(isolation_level="AUTOCOMMIT")
    for one in (engine, before, after, after.execution_options(logging_token="x")):
        _select(one)
    assert counts() == {SELECT: 4}


def test_other_arguments_are_refused(engine: Engine, registry: CollectorRegistry) -> None:
    """Instrumenting an engine again with another argument raises ValueError."""
    instrument(engine, registry=registry)
    with pytest.raises(ValueError, match="instrumented already, as pool 'default'"):
        instrument(engine, registry=CollectorRegistry())
    with pytest.raises(ValueError, match="instrumented already"):
        instrument(engine, registry=registry, pool_name="other")
    with pytest.raises(ValueError, match="instrumented already"):
        instrument(engine, registry=registry, slow_seconds=1.0)
    with pytest.raises(ValueError, match="instrumented already"):
        instrument(engine, registry=registry, trace_id=lambda: None)


def test_two_engines_share_a_registry(engine: Engine, registry: CollectorRegistry) -> None:
    """Engines in one registry have different pool names, and share the metric families."""
    other = create_engine("sqlite://")
    instrument(engine, registry=registry)
    with pytest.raises(ValueError, match="'default' is taken"):
        instrument(other, registry=registry)
    instrument(other, registry=registry, pool_name="other")
    _select(engine, 2)
    _select(other, 3)
    labels = IN_A_FILE | {"db_operation_name": "SELECT", "db_collection_name": "raw", "error_type": ""}
    name, pool = "db_client_operation_duration_seconds", "db_client_connection_pool_name"
    assert registry.get_sample_value(f"{name}_count", labels | {pool: "default"}) == 2
    assert registry.get_sample_value(f"{name}_count", labels | {pool: "other"}) == 3
    assert generate_latest(registry).decode().count(f"# HELP {name} ") == 1
    other.dispose()


def test_remove_undoes_it(engine: Engine, registry: CollectorRegistry, counts: Counts) -> None:
    """After remove() nothing is counted or exposed, and the engine can be instrumented again."""
    instrumentation = instrument(engine, registry=registry)
    _select(engine)
    engine.dispose()  # the new pool must lose its listeners too
    instrumentation.remove()
    instrumentation.remove()
    assert list(registry.collect()) == []
    _select(engine)
    assert len(engine.pool.dispatch.checkout) == 0
    again = instrument(engine, registry=registry)
    assert again is not instrumentation
    assert counts() == {}
    _select(engine)
    assert counts() == {SELECT: 1}


def test_removing_one_engine_leaves_the_other(engine: Engine, registry: CollectorRegistry, counts: Counts) -> None:
    """Removing one of two engines in a registry does not affect the other."""
    other = create_engine("sqlite://")
    first = instrument(engine, registry=registry)
    instrument(other, registry=registry, pool_name="other")
    first.remove()
    _select(engine)
    _select(other)
    assert counts() == {SELECT: 1}
    other.dispose()


def test_names_that_are_taken_are_refused(engine: Engine, registry: CollectorRegistry) -> None:
    """A registry with such a metric from elsewhere raises ValueError, and the engine is left unchanged."""
    Counter("instrumentation_errors", "Someone else's.", registry=registry)
    with pytest.raises(ValueError, match="instrumentation_errors"):
        instrument(engine, registry=registry)
    instrument(engine, registry=CollectorRegistry())


def test_an_engine_that_is_gone_frees_its_name(registry: CollectorRegistry, counts: Counts) -> None:
    """A registry keeps no engine alive; its counts remain until the name is used again."""
    engine = create_engine("sqlite://")
    gone = instrument(engine, registry=registry)
    _select(engine)
    engine.dispose()
    del engine
    gc.collect()
    assert gone.engine is None
    assert counts() == {SELECT: 1}
    other = create_engine("sqlite://")
    instrument(other, registry=registry)
    assert counts() == {}
    other.dispose()


def test_a_listener_that_fails_breaks_no_query(
    engine: Engine,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failure of the instrumentation is counted each time, logged once, and reaches no query."""
    instrumentation = instrument(engine, registry=registry)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(instrumentation.statements.series, "get", broken)
    assert registry.get_sample_value("instrumentation_errors_total") == 0
    _select(engine, 3)
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT nothing"))
    assert registry.get_sample_value("instrumentation_errors_total") == 4
    # It is logged once for each event, and there was one event.
    assert [record.name for record in caplog.records] == ["tablestakes.telemetry"]


def test_a_log_that_fails_breaks_no_query_and_no_count(
    engine: Engine, registry: CollectorRegistry, counts: Counts
) -> None:
    """If a handler of the slow-query log raises, its line is lost, but no query and no count."""

    class Broken(logging.Handler):
        """A log handler that raises."""

        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.getMessage())

    instrument(engine, registry=registry, slow_seconds=0.0)
    log, handler = logging.getLogger("tablestakes.telemetry"), Broken()
    log.addHandler(handler)
    try:
        _select(engine, 2)
    finally:
        log.removeHandler(handler)
    assert registry.get_sample_value("instrumentation_errors_total") == 2
    assert counts() == {SELECT: 2}
    labels = IN_A_FILE | {"db_operation_name": "SELECT", "db_collection_name": "raw", "cause": "statement"}
    assert registry.get_sample_value("db_client_slow_operations_total", labels) == 2
