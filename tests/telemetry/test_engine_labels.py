"""The metrics of an engine say which database it is, by the names of OpenTelemetry's semantic conventions."""

from collections.abc import Callable

import pytest
from opentelemetry.semconv._incubating.attributes import db_attributes
from opentelemetry.semconv.attributes import server_attributes
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument
from tablestakes.telemetry.engine.identity import Identity, identity_of
from tablestakes.telemetry.engine.series import ROWS

By = Callable[..., dict[tuple[str, ...], float]]


def label(attribute: str) -> str:
    """Return an attribute's name as the name of a label."""
    return attribute.replace(".", "_")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+asyncpg://u:p@db.test:6432/shop",
            Identity("postgresql", "default", "shop", "db.test", "6432"),
        ),
        ("postgresql+asyncpg://db.test/shop", Identity("postgresql", "default", "shop", "db.test", "")),
        ("postgresql+asyncpg:///shop?host=/run/pg", Identity("postgresql", "default", "shop", "/run/pg", "")),
        ("sqlite+aiosqlite:////var/lib/shop.db", Identity("sqlite", "default")),
    ],
)
def test_the_url_says_which_database_it_is(url: str, expected: Identity) -> None:
    """A server has a namespace, an address and a port that is not the default, and a file has none of them."""
    assert identity_of(create_async_engine(url).sync_engine) == expected


async def test_every_metric_of_an_engine_has_them(postgres_url: str, registry: CollectorRegistry) -> None:
    """Each sample of a `db_client_` metric has the system, the pool, the namespace, the address and the port."""
    engine = create_async_engine(postgres_url, poolclass=AsyncTimedQueuePool)
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    await engine.dispose()
    expected = {
        "db_client_connection_pool_name": "default",
        label(server_attributes.SERVER_ADDRESS): engine.url.host,
        label(server_attributes.SERVER_PORT): str(engine.url.port),
        label(db_attributes.DB_NAMESPACE): engine.url.database,
        label(db_attributes.DB_SYSTEM_NAME): "postgresql",
    }
    samples = [sample for family in registry.collect() for sample in family.samples]
    of_engine = [sample for sample in samples if sample.name.startswith("db_client_")]
    assert len(of_engine) > 50
    for sample in of_engine:
        assert expected.items() <= sample.labels.items(), sample


def test_the_state_of_a_connection_is_the_conventions_label(registry: CollectorRegistry, by: By) -> None:
    """The states `idle` and `used` are values of `db_client_connection_state`."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry)
    state = label(db_attributes.DB_CLIENT_CONNECTION_STATE)
    assert state == "db_client_connection_state"
    with engine.connect():
        assert by("db_client_connection_count", state) == {("used",): 1}
    assert by("db_client_connection_count", state) == {("idle",): 1}
    engine.dispose()


def test_rows_have_the_conventions_buckets() -> None:
    """The bounds for rows are those that the convention for `db.client.response.returned_rows` advises."""
    assert ROWS == (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
