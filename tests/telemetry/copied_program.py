"""A program of another project into which the telemetry was copied; `test_copied_package.py` runs it.

Its arguments are a folder to work in, and the names of its parts to run.
"""

import asyncio
import sys
from importlib import import_module, util
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

observed: Any = import_module("observed")


def main() -> None:
    """Run the parts that are named in the arguments."""
    folder = Path(sys.argv[1])
    for name in ("tablestakes", "grpc", "google", "structlog", "pydantic", "asyncpg", "alembic"):
        assert util.find_spec(name) is None, name
    if "plain" in sys.argv:
        plain(f"sqlite:///{folder / 'plain.db'}")
    if "asynchronous" in sys.argv:
        asyncio.run(asynchronous(f"sqlite+aiosqlite:///{folder / 'asynchronous.db'}"))
    loaded = {name.partition(".")[0] for name in sys.modules}
    sys.stdout.write(f"{sorted(loaded & {'aiosqlite', 'greenlet'})}\n")


def plain(url: str) -> None:
    """Instrument a synchronous engine with a timed pool twice, and remove the instrumentation."""
    registry = CollectorRegistry()
    engine = create_engine(url, poolclass=observed.TimedQueuePool)
    instrumentation = observed.instrument(engine, registry=registry)
    assert observed.instrument(engine, registry=registry) is instrumentation
    use(engine)
    assert statements(registry) == {("DDL", ""): 1, ("INSERT", ""): 1, ("SELECT", "SQLITE_ERROR"): 1}
    assert registry.get_sample_value(
        "db_client_connection_wait_time_seconds_count",
        {
            "db_system_name": "sqlite",
            "db_client_connection_pool_name": "default",
            "db_namespace": "",
            "server_address": "",
            "server_port": "",
            "outcome": "ok",
        },
    )
    instrumentation.remove()
    assert list(registry.collect()) == []
    engine.dispose()


async def asynchronous(url: str) -> None:
    """Instrument an asynchronous engine and use it in an RPC, without any RPC framework."""
    # Importing it needs greenlet, which SQLAlchemy does not install by itself.
    create_async_engine = import_module("sqlalchemy.ext.asyncio").create_async_engine
    registry = CollectorRegistry()
    engine = create_async_engine(url, poolclass=observed.AsyncTimedQueuePool)
    observed.instrument(engine, registry=registry, pool_name="asynchronous")
    method = observed.RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    method.started()
    account = observed.enter(method)
    async with engine.connect() as connection:
        await connection.run_sync(lambda synchronous: use(synchronous.engine))
    method.finish(account, "OK")
    await engine.dispose()
    assert statements(registry) == {("DDL", ""): 1, ("INSERT", ""): 1, ("SELECT", "SQLITE_ERROR"): 1}
    labels = {"grpc_service": "shop.v1.Shop", "grpc_method": "Buy"}
    assert registry.get_sample_value("rpc_db_queries_sum", labels) == 3


def use(engine: Engine) -> None:
    """Execute statements that succeed, and one that fails."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER)"))
        connection.execute(text("INSERT INTO things VALUES (1)"))
    with engine.connect() as connection:
        try:
            connection.execute(text("SELECT nothing FROM things"))
        except OperationalError:
            return
    raise AssertionError("SQLite knows no such column")


def statements(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return the number of counted statements by verb and error."""
    return {
        (sample.labels["db_operation_name"], sample.labels["error_type"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "db_client_operation_duration_seconds_count"
    }


if __name__ == "__main__":
    main()
