"""Slow statements are explained in the background, once, and without their values."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import tag_pb2, tag_pb2_grpc
from prometheus_client import CollectorRegistry
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import Explainer, Instrumentation, instrument
from tests.serving import eventually, serving, settings_for

CANARY = "canary-51c0"
LOGGER = "tablestakes.telemetry.slow"
PLAN = "slow query plan"
metadata = MetaData()
items = Table("explained", metadata, Column("id", Integer, primary_key=True), Column("name", String(30)))
Total = Callable[..., float]


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on each database, with a table."""
    made = create_async_engine(empty_url, isolation_level="AUTOCOMMIT", hide_parameters=True)
    async with made.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield made
    await made.dispose()


@pytest.fixture
def explainer(empty_url: str) -> Explainer:
    """An explainer without a pause, in read-only transactions."""
    read_only: Any = (
        {"server_settings": {"default_transaction_read_only": "on"}} if "postgresql" in empty_url else {}
    )
    return Explainer(create_async_engine(empty_url, poolclass=NullPool, connect_args=read_only), every=0.0)


@pytest.fixture
def instrumentation(engine: AsyncEngine, registry: CollectorRegistry, explainer: Explainer) -> Instrumentation:
    """An instrumentation for which every statement is slow, and explained."""
    return instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer)


def _plans(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == PLAN]


async def test_a_slow_statement_is_explained(
    engine: AsyncEngine, instrumentation: Instrumentation, explainer: Explainer, caplog: pytest.LogCaptureFixture
) -> None:
    """The plan of a slow statement is logged and kept with the statement, with placeholders and no values."""
    with caplog.at_level(logging.WARNING, LOGGER):
        async with engine.connect() as connection:
            await connection.execute(select(items).where(items.c.name == CANARY, items.c.id == 7))
        await asyncio.to_thread(explainer.close, 30)
    [plan] = _plans(caplog)
    assert plan["db_operation_name"] == "SELECT"
    assert plan["db_collection_name"] == "explained"
    assert "explained" in plan["plan"]
    assert {"sqlite": "SEARCH", "postgresql": "$1"}[engine.dialect.name] in plan["plan"]
    assert instrumentation.slow.recent[0]["plan"] == plan["plan"]
    assert CANARY not in repr([vars(record) for record in caplog.records])
    assert instrumentation.guard.errors == 0


@pytest.mark.parametrize("times", [1, 3])
async def test_writes_are_not_executed_again(
    engine: AsyncEngine, instrumentation: Instrumentation, explainer: Explainer, total: Total, times: int
) -> None:
    """An INSERT, also with executemany, and an UPDATE are explained without being executed a second time."""
    async with engine.connect() as connection:
        await connection.execute(insert(items), [{"name": f"n{number}"} for number in range(times)])
        await asyncio.to_thread(explainer.close, 30)
        await connection.execute(update(items).values(name="other"))
        await asyncio.to_thread(explainer.close, 30)
        rows = await connection.execute(select(items.c.name))
        assert [name for (name,) in rows] == ["other"] * times
        await asyncio.to_thread(explainer.close, 30)
    # The plan that SQLite has for an INSERT is empty.
    assert all(recent["plan"] is not None for recent in instrumentation.slow.recent)
    assert len(instrumentation.slow.recent) == 3
    # The statements of the explainer are not counted.
    assert total("db_client_operation_duration_seconds_count", error_type="") == 3
    assert total("db_client_connections_created_total") == 0


async def test_a_failed_statement_is_explained_if_possible(
    postgres_url: str, registry: CollectorRegistry, total: Total, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement that timed out has a plan; one that the server refuses has none, and that is logged."""
    options: Any = {"connect_args": {"server_settings": {"statement_timeout": "1000"}}}
    engine = create_async_engine(postgres_url, isolation_level="AUTOCOMMIT", **options)
    explainer = Explainer(create_async_engine(postgres_url, poolclass=NullPool), every=0.0)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    async with engine.connect() as connection:
        for statement in ("SELECT pg_sleep(30)", "SELECT nothing"):
            with pytest.raises(DBAPIError):
                await connection.execute(text(statement))
            await asyncio.to_thread(explainer.close, 30)
    await engine.dispose()
    assert [(recent["db_query_text"], recent["plan"]) for recent in slow.recent] == [
        ("SELECT nothing", None),
        ("SELECT pg_sleep(30)", "Result  (cost=0.00..0.01 rows=1 width=4)"),
    ]
    assert [vars(record)["error_type"] for record in caplog.records if "without" in record.getMessage()] == [
        "42703"
    ]
    # This is no failure of the instrumentation: the database has no plan.
    assert total("instrumentation_errors_total") == 0


async def test_a_statement_is_explained_once_and_after_a_pause(
    empty_url: str,
    engine: AsyncEngine,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement that is slow often is explained once, and another one only after a pause."""
    now = 100.0
    monkeypatch.setattr("tablestakes.telemetry.engine.explain.monotonic", lambda: now)
    explainer = Explainer(create_async_engine(empty_url, poolclass=NullPool), every=10.0)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    with caplog.at_level(logging.WARNING, LOGGER):
        async with engine.connect() as connection:
            for _ in range(5):
                await connection.execute(select(items.c.id))
                await asyncio.to_thread(explainer.close, 30)
                await connection.execute(select(items.c.name))
            assert len(_plans(caplog)) == 1
            now += 10.0
            await connection.execute(select(items.c.id))
            await connection.execute(select(items.c.name))
            await eventually(lambda: len(_plans(caplog)) == 2)
    assert len([recent for recent in slow.recent if recent["plan"]]) == 12


def test_a_synchronous_engine_is_explained(tmp_path: Path, registry: CollectorRegistry) -> None:
    """A synchronous engine is explained without an event loop, and DDL is not explained."""
    url = f"sqlite:///{tmp_path / 'plain.db'}"
    engine = create_engine(url)
    explainer = Explainer(create_engine(url, poolclass=NullPool), every=0.0)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(select(items).where(items.c.id == 7))
    explainer.close(30)
    engine.dispose()
    assert slow.recent[0]["plan"] == "SEARCH explained USING INTEGER PRIMARY KEY (rowid=?)"
    assert all(recent["plan"] is None for recent in slow.recent[1:])


def test_an_unsupported_database_is_refused() -> None:
    """An explainer for a driver with other placeholders raises ValueError when it is made."""
    with pytest.raises(ValueError, match="in the style named"):
        Explainer(create_engine("sqlite://", paramstyle="named"))


async def test_the_service_explains_if_configured(
    empty_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `explain_slow_query`, the plan of an RPC's slow statement is logged, on each database."""
    monkeypatch.setattr("tablestakes.app.Explainer", partial(Explainer, every=0.0))
    settings = settings_for(empty_url, slow_query=1e-6, explain_slow_query=True)
    with caplog.at_level(logging.WARNING, LOGGER):
        async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
            tags = tag_pb2_grpc.TagServiceStub(channel)

            async def explained() -> bool:
                # No second statement is explained while one is being explained.
                await tags.ListTags(tag_pb2.ListTagsRequest())
                return any("tags" in plan["plan"] for plan in _plans(caplog))

            async with asyncio.timeout(30):
                while not await explained():
                    pass
