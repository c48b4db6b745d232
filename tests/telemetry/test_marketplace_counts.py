"""Under a mixed load of the marketplace's RPCs, what /metrics shows is what the database and the callers saw."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from marketplace.v1 import order_pb2, post_pb2, product_pb2, tag_pb2, user_pb2, wallet_pb2
from sqlalchemy import Connection, make_url, text

from tablestakes.app import App
from tablestakes.telemetry import CODES
from tests.conftest import DATABASES
from tests.postgres import Postgres
from tests.serving import create_database
from tests.telemetry import database_record
from tests.telemetry.database_record import DatabaseRecord, Kind
from tests.telemetry.marketplace_load import Ledger, market, visits
from tests.telemetry.metrics_scrape import Growth, scrape

CUSTOMERS = 10
STATEMENTS, SECONDS = "db_client_operation_duration_seconds_count", "db_client_operation_duration_seconds_sum"
STARTED, HANDLED, HANDLING = (
    f"grpc_server_{name}" for name in ("started_total", "handled_total", "handling_seconds")
)
METHOD = ("grpc_service", "grpc_method")
PROTOS: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR for module in (order_pb2, post_pb2, product_pb2, tag_pb2, user_pb2, wallet_pb2)
)
METHODS = {
    (service.full_name, method.name)
    for proto in PROTOS
    for service in proto.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True)
class Loaded:
    """A service and its load.

    Attributes:
        app: The service, which still runs.
        grown: What its metrics have grown by.
        ledger: What the callers saw.
        evidence: What the database says, by what says it.
        connections: How many connections of the service the database says that there are, None if it does not.
    """

    app: App
    grown: Growth
    ledger: Ledger
    evidence: dict[str, DatabaseRecord]
    connections: int | None = None


@pytest.fixture(scope="module", params=DATABASES)
async def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loaded]:
    """A marketplace on each database, after its load."""
    if request.param == "sqlite":
        async with market(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('truth')}/truth.db") as (shop, ledger):
            async with shop.app.database.engine.connect() as connection:
                # The pool has no other.
                driver: Any = (await connection.get_raw_connection()).driver_connection
            traced: list[str] = []
            first = await scrape(shop.app)
            await driver.set_trace_callback(traced.append)
            await visits(shop, range(CUSTOMERS))
            await driver.set_trace_callback(None)
            grown = Growth(first, await scrape(shop.app))
            yield Loaded(shop.app, grown, ledger, {"trace": database_record.from_trace(traced)})
        return
    server: Postgres = request.getfixturevalue("server_of_postgres")
    url, log = await create_database(server), server.folder / "log"
    name = str(make_url(url).database)
    witness = await database_record.connect(url)
    await witness.execute("CREATE EXTENSION pg_stat_statements")
    # Of sessions that begin from now on; the witness' own is not among them.
    await witness.execute(f"ALTER DATABASE {name} SET log_min_duration_statement = 0")
    async with market(url) as (shop, ledger):
        first, offset = await scrape(shop.app), log.stat().st_size
        await witness.execute("SELECT pg_stat_statements_reset()")
        await visits(shop, range(CUSTOMERS))
        grown = Growth(first, await scrape(shop.app))
        records = {
            "statistics": await database_record.from_statistics(witness),
            "log": database_record.from_log(log, name, offset),
        }
        connections = await witness.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'tablestakes'"
        )
        yield Loaded(shop.app, grown, ledger, records, connections)
    await witness.close()


def counted(grown: Growth, **having: str) -> Counter[Kind]:
    """Return how many statements were counted: the driver's batches as one for each set of parameters."""
    kinds: Counter[Kind] = Counter()
    sizes = grown.by("db_client_batch_size_sum", "db_operation_name", "db_collection_name")
    for (verb, table), count in grown.by(STATEMENTS, "db_operation_name", "db_collection_name", **having).items():
        # No database can tell that a statement of no table was written by hand.
        kinds[verb.removeprefix("BATCH "), table.removeprefix("raw")] += int(sizes.get((verb, table), count))
    return kinds


@pytest.mark.parametrize("loaded", ["sqlite"], indirect=True)
def test_sqlite_traces_the_same(loaded: Loaded) -> None:
    """Each statement that SQLite began was counted under its verb and table, and no other; and each COMMIT."""
    traced = loaded.evidence["trace"]
    assert counted(loaded.grown) == traced.statements
    assert traced.statements.total() > 100 * CUSTOMERS
    ends_agree(loaded.grown, traced)
    assert traced.ends["COMMIT"] > 0 < traced.ends["ROLLBACK"]


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_the_statistics_count_the_same(loaded: Loaded) -> None:
    """Statements that succeeded, their rows and transactions are as pg_stat_statements has them."""
    told = loaded.evidence["statistics"]
    # It counts a SAVEPOINT that is prepared once for each connection only.
    for kinds in (succeeded := counted(loaded.grown, error_type=""), told.statements, told.rows):
        kinds.pop(("OTHER", ""), None)
    assert succeeded == told.statements
    assert told.statements.total() > 100 * CUSTOMERS
    ends_agree(loaded.grown, told)
    assert told.ends["BEGIN"] == loaded.grown.total("db_client_transaction_seconds_count")
    grown_rows = loaded.grown.by("db_client_response_returned_rows_sum", "db_operation_name", "db_collection_name")
    # Nobody tells what came of an executemany: the driver not at all, the server not apart from other INSERTs.
    batches = loaded.grown.by("db_client_batch_size_sum", "db_collection_name")
    assert {key: rows for key, rows in grown_rows.items() if key[1:] not in batches} == {
        key: rows for key, rows in told.rows.items() if key[1:] not in batches and rows
    }


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_the_log_of_the_server_counts_the_same(loaded: Loaded) -> None:
    """Each statement that PostgreSQL logged was counted, savepoints and failures too, these by their SQLSTATE."""
    told = loaded.evidence["log"]
    assert counted(loaded.grown) == told.statements
    ends_agree(loaded.grown, told)
    failed = loaded.grown.by(STATEMENTS, "db_operation_name", "db_collection_name", "error_type")
    assert {key: count for key, count in failed.items() if key[2]} == dict(told.failures)
    codes: Counter[str] = Counter()
    for (_, _, code), times in told.failures.items():
        codes[code] += times
    assert loaded.grown.by("db_client_errors_total", "phase", "error_type", "disconnect") == {
        ("execute", code, "false"): times for code, times in codes.items()
    }
    assert codes.keys() == {"23503", "23505"}


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_no_duration_is_below_the_servers_own(loaded: Loaded) -> None:
    """What was measured from outside is at least what PostgreSQL measured inside, for each kind of statement."""
    inside = loaded.evidence["log"].seconds
    outside: dict[Kind, float] = {}
    for (verb, table), seconds in loaded.grown.by(SECONDS, "db_operation_name", "db_collection_name").items():
        key = verb.removeprefix("BATCH "), table
        outside[key] = outside.get(key, 0.0) + seconds
    # BEGIN goes out with the first statement of its transaction, and is a part of its time.
    ends = {(name, ""): inside.pop((name, "")) for name in ("BEGIN", "COMMIT", "ROLLBACK")}
    assert inside.keys() == outside.keys()
    assert not {key: (seconds, outside[key]) for key, seconds in inside.items() if seconds > outside[key]}
    assert sum(inside.values()) + ends["BEGIN", ""] < sum(outside.values())
    for name in ("COMMIT", "ROLLBACK"):
        assert 0 < ends[name, ""] < loaded.grown.total(f"db_client_{name.lower()}_seconds_sum")


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_the_server_has_as_many_connections(loaded: Loaded) -> None:
    """Connections that are idle or used, and those made less those closed, are the sessions of the server."""
    last = loaded.grown.last
    made, closed = (
        last.total("db_client_connections_created_total"),
        last.total("db_client_connections_closed_total"),
    )
    assert last.total("db_client_connection_count") == loaded.connections == made - closed
    assert last.total("db_client_connection_count", state="used") == 0
    assert last.total("db_client_connection_max") == loaded.app.settings.pool_size


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
async def test_durations_are_of_the_servers_order(loaded: Loaded, server_of_postgres: Postgres) -> None:
    """Where the server takes its time, what was measured is that time and little more; what is slow is told so."""
    log = server_of_postgres.folder / "log"
    first, offset = await scrape(loaded.app), log.stat().st_size
    sleep = text("SELECT pg_sleep(0.1) FROM generate_series(1, :times)")

    def nap(connection: Connection) -> None:
        for times in (1, 2, 6):
            connection.execute(sleep, {"times": times})

    await loaded.app.database.run(nap)
    grown = Growth(first, await scrape(loaded.app))
    told = database_record.from_log(log, str(loaded.app.settings.url.database), offset)
    inside, outside = sum(told.seconds.values()), grown.total(SECONDS)
    assert told.statements.total() == grown.total(STATEMENTS) == 3
    assert 0.9 <= inside <= outside < inside * 2
    assert grown.total("db_client_slow_operations_total") == 1


def test_callers_were_told_what_was_counted(loaded: Loaded) -> None:
    """RPCs are counted by method and code as their callers saw them end, each once, and none is left in flight."""
    seen = {
        (*method.removeprefix("/").split("/"), CODES[code.value[0]]): times
        for (method, code), times in loaded.ledger.told.items()
    }
    assert loaded.grown.by(HANDLED, *METHOD, "grpc_code") == seen
    assert {code for *_, code in seen} == {
        "OK",
        "AlreadyExists",
        "FailedPrecondition",
        "InvalidArgument",
        "NotFound",
    }
    assert loaded.grown.last.total("grpc_server_in_flight") == 0
    handled = loaded.grown.by(HANDLED, *METHOD)
    for name in (STARTED, f"{HANDLING}_count", "grpc_server_msg_received_total", "grpc_server_msg_sent_total"):
        assert loaded.grown.by(name, *METHOD) == handled
    assert loaded.grown.by("rpc_db_queries_count", *METHOD) == handled


def test_every_method_of_the_protos_was_there_before_it_was_called(loaded: Loaded) -> None:
    """Before any call each method has its series, at 0, with each code, under the labels of the Go middleware."""
    first = loaded.grown.first
    assert first.by(STARTED, *METHOD) == dict.fromkeys(METHODS, 0)
    assert first.by(HANDLED, *METHOD, "grpc_code") == dict.fromkeys(
        ((*method, code) for method in METHODS for code in CODES), 0
    )
    names = {STARTED, HANDLED, "grpc_server_msg_received_total", "grpc_server_msg_sent_total", f"{HANDLING}_count"}
    labels = {(sample.name, *sorted(sample.labels)) for sample in first.samples if sample.name in names}
    three = ("grpc_method", "grpc_service", "grpc_type")
    assert labels == {(name, *(("grpc_code", *three) if name == HANDLED else three)) for name in names}
    assert {sample.labels["grpc_type"] for sample in first.samples if sample.name in names} == {"unary"}


def test_the_phases_of_each_method_are_its_time(loaded: Loaded) -> None:
    """For each method the phases sum to the time of its RPCs, none of them below nothing."""
    times = loaded.grown.by(f"{HANDLING}_sum", *METHOD)
    assert loaded.grown.by("rpc_db_seconds_total", *METHOD) == pytest.approx(times, rel=1e-9)
    phases = loaded.grown.by("rpc_db_seconds_total", *METHOD, "phase")
    assert min(phases.values()) > 0
    assert {phase for *_, phase in phases} == {"pool_wait", "connect", "query", "commit", "rollback", "other"} - (
        {"connect"} if loaded.connections is None else set()
    )


def test_rpcs_spent_what_the_database_cost(loaded: Loaded) -> None:
    """Nobody else was there: statements, waits, connects, COMMIT and ROLLBACK are the RPCs', to the last."""
    grown = loaded.grown
    assert grown.total("rpc_db_queries_sum") == grown.total(STATEMENTS)
    spent = {
        "query": SECONDS,
        "pool_wait": "db_client_connection_wait_time_seconds_sum",
        "connect": "db_client_connection_create_time_seconds_sum",
        "commit": "db_client_commit_seconds_sum",
        "rollback": "db_client_rollback_seconds_sum",
    }
    assert {phase: grown.total("rpc_db_seconds_total", phase=phase) for phase in spent} == pytest.approx(
        {phase: grown.total(name) for phase, name in spent.items()}, rel=1e-9, abs=1e-9
    )


def test_the_pool_lent_as_often_as_it_got_back(loaded: Loaded) -> None:
    """Each checkout waited once and was used once, and nobody waits any more."""
    grown = loaded.grown
    waits = grown.by("db_client_connection_wait_time_seconds_count", "outcome")
    assert waits == {("ok",): grown.total("db_client_connection_use_time_seconds_count")}
    assert grown.last.total("db_client_connection_pending_requests") == 0
    assert grown.last.total("instrumentation_errors_total") == 0


def test_buckets_count_what_their_histogram_counts(loaded: Loaded) -> None:
    """Of every histogram on the page the buckets never fall, and the last is its count."""
    buckets: dict[tuple[str, ...], list[float]] = {}
    for sample in loaded.grown.last.samples:
        if sample.name.endswith("_bucket"):
            labels = (f"{key}={value}" for key, value in sorted(sample.labels.items()) if key != "le")
            buckets.setdefault((sample.name.removesuffix("_bucket"), *labels), []).append(sample.value)
    assert len(buckets) > 100
    counts = {
        (sample.name.removesuffix("_count"), *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for sample in loaded.grown.last.samples
        if sample.name.endswith("_count")
    }
    for key, values in buckets.items():
        assert values == sorted(values)
        assert values[-1] == counts[key]


def ends_agree(grown: Growth, told: DatabaseRecord) -> None:
    """Compare COMMIT and ROLLBACK, and what became of transactions, with what the database says."""
    ends = {"commit": told.ends["COMMIT"], "rollback": told.ends["ROLLBACK"]}
    for name, times in ends.items():
        assert grown.by(f"db_client_{name}_seconds_count", "outcome") == {("ok",): times}
        assert grown.total("db_client_transaction_seconds_count", outcome=name) == times
