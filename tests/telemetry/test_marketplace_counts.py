"""Under a mixed load of marketplace RPCs, /metrics agrees with the database and with the callers."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from marketplace.v1 import order_pb2, post_pb2, product_pb2, tag_pb2, user_pb2, wallet_pb2
from sqlalchemy import Connection, event, make_url, text

from tablestakes.app import App
from tablestakes.telemetry import CODES
from tablestakes.testing.plugin import DATABASES
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
    """A service after its load.

    Attributes:
        app: The service, which is still running.
        grown: The growth of its metrics.
        ledger: The outcomes that the callers saw.
        records: The database's own records, by their source.
        connections: The number of the service's connections by the database's count, None if it has none.
    """

    app: App
    grown: Growth
    ledger: Ledger
    records: dict[str, DatabaseRecord]
    connections: int | None = None


@pytest.fixture(scope="module", params=DATABASES)
async def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loaded]:
    """A marketplace on each database, after its load."""
    if request.param == "sqlite":
        async with market(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('truth')}/truth.db") as (shop, ledger):
            # The connections of both pools are made anew, and traced from their first statement.
            await shop.app.database.close()
            traces: list[list[str]] = []
            for engine in shop.app.database.engines.values():
                event.listen(engine.sync_engine, "connect", lambda driver, _: trace(driver, traces))
            first = await scrape(shop.app)
            await visits(shop, range(CUSTOMERS))
            grown = Growth(first, await scrape(shop.app))
            record = database_record.from_trace(statement for each in traces for statement in each)
            yield Loaded(shop.app, grown, ledger, {"trace": record})
        return
    server: Postgres = request.getfixturevalue("server_of_postgres")
    url, log = await create_database(server), server.folder / "log"
    name = str(make_url(url).database)
    witness = await database_record.connect(url)
    await witness.execute("CREATE EXTENSION pg_stat_statements")
    # The setting applies to new sessions, so not to the one of the witness.
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


def trace(driver: Any, traces: list[list[str]]) -> None:
    """Let SQLite write each statement of a connection into a list of its own, which is added to the others."""
    traces.append([])
    driver.run_async(lambda connection: connection.set_trace_callback(traces[-1].append))


def counted(grown: Growth, **having: str) -> Counter[Kind]:
    """Return the number of counted statements by kind; a batch counts as one for each set of parameters."""
    kinds: Counter[Kind] = Counter()
    sizes = grown.by("db_client_batch_size_sum", "db_operation_name", "db_collection_name")
    for (verb, table), count in grown.by(STATEMENTS, "db_operation_name", "db_collection_name", **having).items():
        # A database does not distinguish handwritten SQL from other statements without a table.
        kinds[verb.removeprefix("BATCH "), table.removeprefix("raw")] += int(sizes.get((verb, table), count))
    return kinds


@pytest.mark.parametrize("loaded", ["sqlite"], indirect=True)
def test_the_trace_of_sqlite_agrees(loaded: Loaded) -> None:
    """The statements and COMMITs that SQLite traced are those that were counted, by verb and table."""
    traced = loaded.records["trace"]
    assert counted(loaded.grown) == traced.statements
    assert traced.statements.total() > 90 * CUSTOMERS
    ends_agree(loaded.grown, traced)
    assert traced.ends["COMMIT"] > 0


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_pg_stat_statements_agrees(loaded: Loaded) -> None:
    """Successful statements, their rows and the transactions agree with pg_stat_statements."""
    record = loaded.records["statistics"]
    # It counts a SAVEPOINT, which is prepared once, only once for each connection.
    for kinds in (succeeded := counted(loaded.grown, error_type=""), record.statements, record.rows):
        kinds.pop(("OTHER", ""), None)
    assert succeeded == record.statements
    assert record.statements.total() > 90 * CUSTOMERS
    ends_agree(loaded.grown, record)
    assert record.ends["BEGIN"] == loaded.grown.total("db_client_transaction_seconds_count")
    grown_rows = loaded.grown.by("db_client_response_returned_rows_sum", "db_operation_name", "db_collection_name")
    # The rows of an executemany are unknown: the driver does not count them, and the server only with other
    # INSERTs.
    batches = loaded.grown.by("db_client_batch_size_sum", "db_collection_name")
    assert {key: rows for key, rows in grown_rows.items() if key[1:] not in batches} == {
        key: rows for key, rows in record.rows.items() if key[1:] not in batches and rows
    }


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_the_log_of_the_server_agrees(loaded: Loaded) -> None:
    """The statements in the log of PostgreSQL are those that were counted, with failures by their SQLSTATE."""
    record = loaded.records["log"]
    assert counted(loaded.grown) == record.statements
    ends_agree(loaded.grown, record)
    failed = loaded.grown.by(STATEMENTS, "db_operation_name", "db_collection_name", "error_type")
    assert {key: count for key, count in failed.items() if key[2]} == dict(record.failures)
    codes: Counter[str] = Counter()
    for (_, _, code), times in record.failures.items():
        codes[code] += times
    assert loaded.grown.by("db_client_errors_total", "phase", "error_type", "disconnect") == {
        ("execute", code, "false"): times for code, times in codes.items()
    }
    assert codes.keys() == {"23503", "23505"}


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_no_duration_is_below_the_servers_own(loaded: Loaded) -> None:
    """For each kind of statement, the measured time is at least the time that PostgreSQL measured."""
    inside = loaded.records["log"].seconds
    outside: dict[Kind, float] = {}
    for (verb, table), seconds in loaded.grown.by(SECONDS, "db_operation_name", "db_collection_name").items():
        key = verb.removeprefix("BATCH "), table
        outside[key] = outside.get(key, 0.0) + seconds
    # BEGIN is sent with the first statement of its transaction, and is part of its time.
    ends = {(name, ""): inside.pop((name, "")) for name in ("BEGIN", "COMMIT", "ROLLBACK")}
    assert inside.keys() == outside.keys()
    assert not {key: (seconds, outside[key]) for key, seconds in inside.items() if seconds > outside[key]}
    assert sum(inside.values()) + ends["BEGIN", ""] < sum(outside.values())
    for name in ("COMMIT", "ROLLBACK"):
        assert 0 < ends[name, ""] < loaded.grown.total(f"db_client_{name.lower()}_seconds_sum")


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_the_sessions_of_the_server_agree(loaded: Loaded) -> None:
    """The open connections, and those made minus those closed, are as many as the sessions of the server."""
    last = loaded.grown.last
    made, closed = (
        last.total("db_client_connections_created_total"),
        last.total("db_client_connections_closed_total"),
    )
    assert last.total("db_client_connection_count") == loaded.connections == made - closed
    assert last.total("db_client_connection_count", db_client_connection_state="used") == 0
    assert last.total("db_client_connection_max") == loaded.app.settings.pool_size


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
async def test_durations_contain_those_of_the_server(loaded: Loaded, server_of_postgres: Postgres) -> None:
    """The duration of slow statements lies between the server's own and that of the whole work."""
    log = server_of_postgres.folder / "log"
    first, offset = await scrape(loaded.app), log.stat().st_size
    sleep = text("SELECT pg_sleep(0.1) FROM generate_series(1, :times)")

    def nap(connection: Connection) -> None:
        for times in (1, 2, 6):
            connection.execute(sleep, {"times": times})

    start = perf_counter()
    await loaded.app.database.run(nap)
    elapsed = perf_counter() - start
    grown = Growth(first, await scrape(loaded.app))
    record = database_record.from_log(log, str(loaded.app.settings.url.database), offset)
    inside, outside = sum(record.seconds.values()), grown.total(SECONDS)
    assert record.statements.total() == grown.total(STATEMENTS) == 3
    assert 0.9 <= inside <= outside < elapsed
    assert grown.total("db_client_slow_operations_total") == 1


def test_the_outcomes_of_the_callers_agree(loaded: Loaded) -> None:
    """RPCs are counted by method and code as their callers saw them end, and none is in flight afterwards."""
    seen = {
        (*method.removeprefix("/").split("/"), CODES[code.value[0]]): times
        for (method, code), times in loaded.ledger.outcomes.items()
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


def test_every_method_has_its_series_before_any_call(loaded: Loaded) -> None:
    """Before any call, each method has its series at 0 for each code, with the labels of the Go middleware."""
    first = loaded.grown.first
    assert first.by(STARTED, *METHOD) == dict.fromkeys(METHODS, 0)
    assert first.by(HANDLED, *METHOD, "grpc_code") == dict.fromkeys(
        ((*method, code) for method in METHODS for code in CODES), 0
    )
    names = {STARTED, HANDLED, "grpc_server_msg_received_total", "grpc_server_msg_sent_total", f"{HANDLING}_count"}
    labels = {(sample.name, *sorted(sample.labels)) for sample in first.samples if sample.name in names}
    three = ("grpc_method", "grpc_service", "grpc_type")
    assert labels == {(name, *(("grpc_code", *three) if name == HANDLED else three)) for name in names}
    assert {
        (sample.labels["grpc_type"], sample.labels["grpc_method"].startswith("Export"))
        for sample in first.samples
        if sample.name in names
    } == {("unary", False), ("server_stream", True)}


def test_the_phases_of_each_method_add_up(loaded: Loaded) -> None:
    """For each method, the phases add up to the time of its RPCs, and none is negative."""
    times = loaded.grown.by(f"{HANDLING}_sum", *METHOD)
    assert loaded.grown.by("rpc_db_seconds_total", *METHOD) == pytest.approx(times, rel=1e-9)
    phases = loaded.grown.by("rpc_db_seconds_total", *METHOD, "phase")
    assert min(phases.values()) > 0
    # On SQLite a write that is undone is undone to its savepoint, which is a statement.
    expected = {"pool_wait", "connect", "query", "commit", "other"}
    assert {phase for *_, phase in phases} == expected | (set() if loaded.connections is None else {"rollback"})


@pytest.mark.parametrize("loaded", ["sqlite"], indirect=True)
def test_rpcs_are_charged_for_the_transactions_that_they_share(loaded: Loaded) -> None:
    """All statements are charged to RPCs, and COMMIT to each that waited for it; BEGIN is a part of the wait."""
    grown = loaded.grown
    assert grown.total("rpc_db_queries_sum") == grown.total(STATEMENTS)
    spent = {phase: grown.total("rpc_db_seconds_total", phase=phase) for phase in ("query", "pool_wait", "commit")}
    statements = grown.total(SECONDS)
    assert statements - grown.total(SECONDS, db_operation_name="OTHER") <= spent["query"] <= statements
    assert spent["pool_wait"] > 0
    assert spent["commit"] > grown.total("db_client_commit_seconds_sum")


@pytest.mark.parametrize("loaded", ["postgresql"], indirect=True)
def test_rpcs_are_charged_for_all_database_work(loaded: Loaded) -> None:
    """All statements, waits, connects, COMMITs and ROLLBACKs are charged to the RPCs."""
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


def test_each_checkout_has_a_wait_and_a_use(loaded: Loaded) -> None:
    """Each checkout is one wait and one use, except that writes on SQLite share one; none is pending afterwards."""
    grown = loaded.grown
    waits = grown.by("db_client_connection_wait_time_seconds_count", "outcome")
    uses = grown.total("db_client_connection_use_time_seconds_count")
    if loaded.connections is None:
        assert waits == {("ok",): grown.total("db_client_connection_acquires_total")}
        assert waits["ok",] > uses
    else:
        assert waits == {("ok",): uses}
    assert grown.last.total("db_client_connection_pending_requests") == 0
    assert grown.last.total("instrumentation_errors_total") == 0


def test_buckets_agree_with_their_histogram(loaded: Loaded) -> None:
    """In every histogram the buckets never decrease, and the last one is the count."""
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


def ends_agree(grown: Growth, record: DatabaseRecord) -> None:
    """Compare COMMITs, ROLLBACKs and the outcomes of transactions with the database's record."""
    ends = {"commit": record.ends["COMMIT"], "rollback": record.ends["ROLLBACK"]}
    for name, times in ends.items():
        assert grown.by(f"db_client_{name}_seconds_count", "outcome") == ({("ok",): times} if times else {})
        assert grown.total("db_client_transaction_seconds_count", outcome=name) == times
