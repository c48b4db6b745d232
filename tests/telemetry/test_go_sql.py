"""The pool has the names of Go's database/sql metrics, if they are requested."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tablestakes.telemetry import GoSqlMetrics, TimedQueuePool, instrument
from tests.serving import serving, settings_for

By = Callable[..., dict[tuple[str, ...], float]]
# The names and types of collectors.NewDBStatsCollector in client_golang 1.23.
GO = {
    "go_sql_max_open_connections": "gauge",
    "go_sql_open_connections": "gauge",
    "go_sql_in_use_connections": "gauge",
    "go_sql_idle_connections": "gauge",
    "go_sql_wait_count_total": "counter",
    "go_sql_wait_duration_seconds_total": "counter",
    "go_sql_max_idle_closed_total": "counter",
    "go_sql_max_idle_time_closed_total": "counter",
    "go_sql_max_lifetime_closed_total": "counter",
}


def test_they_agree_with_the_metrics_of_the_pool(tmp_path: Path, registry: CollectorRegistry) -> None:
    """Each value is that of the pool: connections by state, waits that really waited, and closes by cause."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'go.db'}",
        poolclass=TimedQueuePool,
        pool_size=1,
        max_overflow=1,
        pool_timeout=0.01,
    )
    GoSqlMetrics(registry, [instrument(engine, registry=registry, pool_name="shop")])
    with engine.connect() as connection, engine.connect():
        connection.execute(text("SELECT 1"))
        with pytest.raises(PoolTimeoutError):
            engine.connect()
    with engine.connect():
        found = {
            sample.name: sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.labels == {"db_name": "shop"}
        }
    assert found.pop("go_sql_wait_duration_seconds_total") >= 0.01
    assert found == {
        "go_sql_max_open_connections": 2,
        "go_sql_open_connections": 1,
        "go_sql_in_use_connections": 1,
        "go_sql_idle_connections": 0,
        "go_sql_wait_count_total": 1,
        "go_sql_max_idle_closed_total": 1,
        "go_sql_max_idle_time_closed_total": 0,
        "go_sql_max_lifetime_closed_total": 0,
    }
    engine.dispose()


@pytest.mark.parametrize("requested", [False, True])
async def test_the_service_has_them_if_they_are_requested(postgres_url: str, requested: bool) -> None:
    """They have Go's names, types and label if the setting is on, and are missing if it is off."""
    async with serving(settings_for(postgres_url, go_sql_metrics=requested)) as app:
        families = [family for family in app.registry.collect() if family.name.startswith("go_sql_")]
    names = {sample.name: family.type for family in families for sample in family.samples}
    assert names == (GO if requested else {})
    labels = {tuple(sample.labels.items()) for family in families for sample in family.samples}
    assert labels == ({(("db_name", app.settings.url.database),)} if requested else set())
