"""The plan of a slow statement: asked for elsewhere, once, and without its values."""

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
    """Asks without a pause, as one who may not write."""
    read_only: Any = (
        {"server_settings": {"default_transaction_read_only": "on"}} if "postgresql" in empty_url else {}
    )
    return Explainer(create_async_engine(empty_url, poolclass=NullPool, connect_args=read_only), every=0.0)


@pytest.fixture
def instrumentation(engine: AsyncEngine, registry: CollectorRegistry, explainer: Explainer) -> Instrumentation:
    """Every statement is slow, and explained."""
    return instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer)


def _plans(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == PLAN]


async def test_a_slow_statement_is_explained(
    engine: AsyncEngine, instrumentation: Instrumentation, explainer: Explainer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its plan is one line of the log and stands beside the statement, with placeholders and no values."""
    with caplog.at_level(logging.WARNING, LOGGER):
        async with engine.connect() as connection:
            await connection.execute(select(items).where(items.c.name == CANARY, items.c.id == 7))
        await asyncio.to_thread(explainer.close)
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
    """An INSERT, also the driver's executemany, and an UPDATE are explained and have happened once."""
    async with engine.connect() as connection:
        await connection.execute(insert(items), [{"name": f"n{number}"} for number in range(times)])
        await asyncio.to_thread(explainer.close)
        await connection.execute(update(items).values(name="other"))
        await asyncio.to_thread(explainer.close)
        rows = await connection.execute(select(items.c.name))
        assert [name for (name,) in rows] == ["other"] * times
        await asyncio.to_thread(explainer.close)
    # Of an INSERT SQLite has nothing to plan, and says so.
    assert all(recent["plan"] is not None for recent in instrumentation.slow.recent)
    assert len(instrumentation.slow.recent) == 3
    # Those who ask are not counted.
    assert total("db_client_operation_duration_seconds_count", error_type="") == 3
    assert total("db_client_connections_created_total") == 0


async def test_what_fails_is_explained_if_it_can_be(
    postgres_url: str, registry: CollectorRegistry, total: Total, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement that ran into its timeout has a plan; one that the server refuses has none, which is logged."""
    options: Any = {"connect_args": {"server_settings": {"statement_timeout": "50"}}}
    engine = create_async_engine(postgres_url, isolation_level="AUTOCOMMIT", **options)
    explainer = Explainer(create_async_engine(postgres_url, poolclass=NullPool), every=0.0)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    async with engine.connect() as connection:
        for statement in ("SELECT pg_sleep(5)", "SELECT nothing"):
            with pytest.raises(DBAPIError):
                await connection.execute(text(statement))
            await asyncio.to_thread(explainer.close)
    await engine.dispose()
    assert [(recent["db_query_text"], recent["plan"]) for recent in slow.recent] == [
        ("SELECT nothing", None),
        ("SELECT pg_sleep(5)", "Result  (cost=0.00..0.01 rows=1 width=4)"),
    ]
    assert [vars(record)["error_type"] for record in caplog.records if "without" in record.getMessage()] == [
        "42703"
    ]
    # The telemetry has not failed: the database had no answer.
    assert total("instrumentation_errors_total") == 0


async def test_it_asks_once_and_not_often(
    empty_url: str, engine: AsyncEngine, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """However often a statement is slow its plan is asked for once, and another's only after a pause."""
    explainer = Explainer(create_async_engine(empty_url, poolclass=NullPool), every=0.3)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    with caplog.at_level(logging.WARNING, LOGGER):
        async with engine.connect() as connection:
            for _ in range(5):
                await connection.execute(select(items.c.id))
                await asyncio.to_thread(explainer.close)
                await connection.execute(select(items.c.name))
            assert len(_plans(caplog)) == 1
            await asyncio.sleep(0.3)
            await connection.execute(select(items.c.id))
            await connection.execute(select(items.c.name))
            await eventually(lambda: len(_plans(caplog)) == 2)
    assert len([recent for recent in slow.recent if recent["plan"]]) == 12


def test_a_synchronous_engine_is_explained(tmp_path: Path, registry: CollectorRegistry) -> None:
    """It needs no event loop, and DDL is not asked about."""
    url = f"sqlite:///{tmp_path / 'plain.db'}"
    engine = create_engine(url)
    explainer = Explainer(create_engine(url, poolclass=NullPool), every=0.0)
    slow = instrument(engine, registry=registry, slow_seconds=0.0, explainer=explainer).slow
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(select(items).where(items.c.id == 7))
    explainer.close()
    engine.dispose()
    assert slow.recent[0]["plan"] == "SEARCH explained USING INTEGER PRIMARY KEY (rowid=?)"
    assert all(recent["plan"] is None for recent in slow.recent[1:])


def test_what_it_does_not_speak_to_is_refused() -> None:
    """A database or a driver whose statements it could not repeat is an error where the program is put together."""
    with pytest.raises(ValueError, match="in the style named"):
        Explainer(create_engine("sqlite://", paramstyle="named"))


async def test_the_service_explains_where_it_is_told_to(
    empty_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting, an RPC whose statement is slow leaves its plan in the log, on each database."""
    monkeypatch.setattr("tablestakes.app.Explainer", partial(Explainer, every=0.0))
    settings = settings_for(empty_url, slow_query=1e-6, explain_slow_query=True)
    with caplog.at_level(logging.WARNING, LOGGER):
        async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
            tags = tag_pb2_grpc.TagServiceStub(channel)

            async def explained() -> bool:
                # While another statement is asked about, this one is not.
                await tags.ListTags(tag_pb2.ListTagsRequest())
                return any("tags" in plan["plan"] for plan in _plans(caplog))

            async with asyncio.timeout(5):
                while not await explained():
                    pass
