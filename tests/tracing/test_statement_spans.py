"""The statements of an RPC are spans below its span, without values."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import user_pb2
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, get_tracer, use_span
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument
from tablestakes.telemetry.otel.tracer import OtelTracer
from tablestakes.telemetry.version import VERSION
from tests.gadgets import gadget_pb2
from tests.postgres import free_port
from tests.serving import eventually
from tests.tracing.recorded_spans import Spans, Traced, id_of, trace_of
from tests.tracing.trace_context import Caller

CANARY = "canary-7c20"
THINGS = Table("things", MetaData(), Column("n", Integer, primary_key=True))


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return the attributes of a span."""
    assert span.attributes is not None
    return span.attributes


def parent_of(span: ReadableSpan) -> str | None:
    """Return the id of a span's parent, in hexadecimal."""
    return f"{span.parent.span_id:016x}" if span.parent else None


@pytest.fixture
def engine(tmp_path: Path, spans: Spans) -> Iterator[Engine]:
    """An engine that makes spans, with a table."""
    made = create_engine(f"sqlite:///{tmp_path / 'things.db'}")
    THINGS.create(made)
    instrument(made, registry=CollectorRegistry(), tracer=OtelTracer(spans.provider))
    yield made
    made.dispose()


def test_the_scope_has_a_name_a_version_and_a_schema(engine: Engine, spans: Spans) -> None:
    """The instrumentation scope of a span names this package, its version and the version of the conventions."""
    tracer = get_tracer("caller", tracer_provider=spans.provider)
    with tracer.start_as_current_span("caller"), engine.connect() as connection:
        connection.execute(select(THINGS))
    [scope] = {span.instrumentation_scope for span in spans if span.name == "SELECT things"}
    assert scope is not None
    assert (scope.name, scope.version) == ("tablestakes.telemetry", VERSION)
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


async def test_a_hundred_rpcs_have_their_own_statements(traced: Traced) -> None:
    """Each of a hundred concurrent RPCs has its own SELECT and its other database spans below it."""
    callers = [Caller() for _ in range(100)]
    calls = [
        traced.users.GetUser(user_pb2.GetUserRequest(name="users/999999"), metadata=caller.metadata)
        for caller in callers
    ]
    assert {await call.code() for call in calls} == {grpc.StatusCode.NOT_FOUND}
    for caller in callers:
        [rpc] = [span for span in traced.spans.of(caller.trace) if span.kind is SpanKind.SERVER]
        below = [span for span in traced.spans.of(caller.trace) if span is not rpc]
        assert {parent_of(span) for span in below} == {id_of(rpc)}
        assert [span.name for span in below].count("SELECT users") == 1
        assert {span.name for span in below} <= {"SELECT users", "pool_wait", "connect"}
        for span in below:
            assert rpc.start_time is not None
            assert rpc.end_time is not None
            assert span.start_time is not None
            assert span.end_time is not None
            assert rpc.start_time <= span.start_time <= span.end_time <= rpc.end_time


async def test_a_statement_has_attributes_and_no_values(traced: Traced) -> None:
    """A statement has OpenTelemetry's attributes for databases, and placeholders instead of values."""
    caller = Caller()
    user = user_pb2.User(
        email=f"{CANARY}@example.com",
        username=CANARY.replace("-", "_"),
        full_name=CANARY,
        password=f"{CANARY} word",
    )
    made = await traced.users.CreateUser(user_pb2.CreateUserRequest(user=user), metadata=caller.metadata)
    [insertion] = [span for span in traced.spans.of(caller.trace) if span.name == "INSERT users"]
    own = dict(attributes_of(insertion))
    url, system = traced.app.database.engine.url, traced.app.database.engine.dialect.name
    assert insertion.kind is SpanKind.CLIENT
    assert insertion.status.status_code is StatusCode.UNSET
    statement = own.pop("db.query.text")
    assert statement.startswith("INSERT INTO users (email, ")
    assert {
        "db.system.name": system,
        "db.operation.name": "INSERT",
        "db.collection.name": "users",
    }.items() <= own.items()
    if system == "postgresql":
        assert own["db.namespace"] == url.database
        assert (own["server.address"], own["server.port"]) == (url.host, url.port)
    else:
        assert not {"db.namespace", "server.address", "server.port"} & own.keys()
    try:
        call = traced.users.CreateUser(user_pb2.CreateUserRequest(user=user), metadata=caller.metadata)
        assert await call.code() is grpc.StatusCode.ALREADY_EXISTS
        failed = next(span for span in traced.spans.of(caller.trace) if span.status.status_code is StatusCode.ERROR)
        assert failed.name == "INSERT users"
        code = {"postgresql": "23505", "sqlite": "SQLITE_CONSTRAINT_UNIQUE"}[system]
        assert attributes_of(failed)["error.type"] == attributes_of(failed)["db.response.status_code"] == code
        # The message of the driver quotes the existing value.
        assert failed.status.description is None
        assert not failed.events
        everything = "".join(span.to_json() for span in traced.spans.of(caller.trace))
        assert CANARY not in everything
        assert CANARY.replace("-", "_") not in everything
    finally:
        await traced.users.DeleteUser(user_pb2.DeleteUserRequest(name=made.name))


@pytest.mark.parametrize("running", ["postgresql"], indirect=True)
async def test_work_that_outlives_its_rpc_is_still_below_it(traced: Traced) -> None:
    """A statement that ends after its RPC's deadline is still a span below the RPC."""
    caller, start = Caller(), time.perf_counter()
    poke = gadget_pb2.PokeGadgetRequest(how="slow", seconds=2.5)
    call = traced.gadgets.PokeGadget(poke, metadata=caller.metadata, timeout=1.0)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: [span for span in traced.spans.of(caller.trace) if span.name == "SELECT"], 30)
    elapsed = time.perf_counter() - start
    by_name = {span.name: span for span in traced.spans.of(caller.trace)}
    rpc, late = by_name["gadget.v1.GadgetService/PokeGadget"], by_name["SELECT"]
    assert parent_of(late) == id_of(rpc)
    assert late.start_time is not None
    assert late.end_time is not None
    assert rpc.end_time is not None
    assert rpc.end_time < late.end_time
    assert 2.5 <= (late.end_time - late.start_time) / 1e9 < elapsed


async def test_a_cancelled_statement_has_that_error(postgres_url: str, spans: Spans) -> None:
    """A cancelled statement is a span with the error type `cancelled`."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=CollectorRegistry(), tracer=OtelTracer(spans.provider))

    async def work() -> None:
        with use_span(spans.provider.get_tracer("test").start_span("work"), record_exception=False):
            async with engine.connect() as connection, asyncio.timeout(0.1):
                await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 30})

    with pytest.raises(TimeoutError):
        await work()
    await engine.dispose()
    [statement] = [span for span in spans if "pg_sleep" in attributes_of(span).get("db.query.text", "")]
    assert attributes_of(statement)["error.type"] == "cancelled"
    assert "db.response.status_code" not in attributes_of(statement)
    assert statement.status.status_code is StatusCode.ERROR


def test_commit_and_rollback_are_spans(engine: Engine, spans: Spans) -> None:
    """COMMIT and ROLLBACK are spans below the current span."""
    with spans.provider.get_tracer("test").start_as_current_span("work") as work:
        with engine.begin() as connection:
            connection.execute(insert(THINGS), {"n": 1})
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(insert(THINGS), {"n": 2})
            transaction.rollback()
    names = [span.name for span in spans]
    assert names == ["INSERT things", "COMMIT", "INSERT things", "ROLLBACK", "work"]
    below = list(spans)[:-1]
    assert {parent_of(span) for span in below} == {f"{work.get_span_context().span_id:016x}"}
    [commit] = [span for span in below if span.name == "COMMIT"]
    assert commit.kind is SpanKind.CLIENT
    assert attributes_of(commit) == {"db.system.name": "sqlite", "db.operation.name": "COMMIT"}


def test_a_batch_has_its_size(engine: Engine, spans: Spans) -> None:
    """A batch of the driver is one span with its number of parameter sets."""
    with spans.provider.get_tracer("test").start_as_current_span("work"), engine.begin() as connection:
        connection.execute(insert(THINGS), [{"n": n} for n in range(7)])
    [batch] = [span for span in spans if span.name == "BATCH INSERT things"]
    assert attributes_of(batch)["db.operation.batch.size"] == 7


@pytest.mark.parametrize("no_parameters", [False, True])
def test_sql_by_hand_without_parameters_is_not_quoted(engine: Engine, spans: Spans, no_parameters: bool) -> None:
    """Handwritten SQL is left out of the span if it has no parameters, and so may contain values."""
    with spans.provider.get_tracer("test").start_as_current_span("work"), engine.connect() as plain:
        connection = plain.execution_options(no_parameters=no_parameters)
        connection.exec_driver_sql(f"SELECT '{CANARY}'")
        plain.execute(text("SELECT :word"), {"word": CANARY})
    quoted, bound = [span for span in spans if span.name == "SELECT"]
    assert "db.query.text" not in attributes_of(quoted)
    assert attributes_of(bound)["db.query.text"] == "SELECT ?"
    assert CANARY not in quoted.to_json() + bound.to_json()


def test_without_a_current_span_there_are_no_spans(engine: Engine, spans: Spans) -> None:
    """A statement without a current span has no span."""
    with engine.begin() as connection:
        connection.execute(select(THINGS))
    assert not list(spans)


async def test_a_wait_for_the_pool_is_a_span(tmp_path: Path, spans: Spans) -> None:
    """A checkout that waits is a span, also if it times out; one that does not wait has no span."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'pool.db'}",
        poolclass=AsyncTimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
    )
    instrument(engine, registry=CollectorRegistry(), tracer=OtelTracer(spans.provider))
    with spans.provider.get_tracer("test").start_as_current_span("work"):
        for _ in range(2):
            async with engine.connect():
                pass
        assert [span.name for span in spans] == ["connect"]
        async with engine.connect():
            with pytest.raises(PoolTimeoutError):
                await engine.connect()
    await engine.dispose()
    [wait] = [span for span in spans if span.name == "pool_wait"]
    assert wait.kind is SpanKind.INTERNAL
    assert attributes_of(wait) == {"db.system.name": "sqlite", "error.type": "timeout"}
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert (wait.end_time - wait.start_time) / 1e9 >= 0.1


async def test_a_connect_that_fails_is_a_span(spans: Spans) -> None:
    """A refused connect is a span with its error."""
    engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    instrument(engine, registry=CollectorRegistry(), tracer=OtelTracer(spans.provider))
    with spans.provider.get_tracer("test").start_as_current_span("work"), pytest.raises(OSError, match=r"."):
        await engine.connect()
    await engine.dispose()
    [connect] = [span for span in spans if span.name == "connect"]
    assert attributes_of(connect)["error.type"] == "ConnectionRefusedError"
    assert connect.status.status_code is StatusCode.ERROR


def test_a_slow_statement_has_its_trace(tmp_path: Path, spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    """With a tracer, the log line of a slow statement has the trace id without further configuration."""
    engine = create_engine(f"sqlite:///{tmp_path / 'slow.db'}")
    slow = instrument(
        engine, registry=CollectorRegistry(), slow_seconds=0.0, tracer=OtelTracer(spans.provider)
    ).slow
    with spans.provider.get_tracer("test").start_as_current_span("work"), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    [span] = [span for span in spans if span.name == "SELECT"]
    assert [vars(record)["trace_id"] for record in caplog.records] == [trace_of(span)]
    assert slow.recent[0]["trace_id"] == trace_of(span)


class Broken(SpanProcessor):
    """A span processor that raises."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - OpenTelemetry's
        """Raise, except for the span of the test itself."""
        if span.name != "work":
            raise RuntimeError("broken")


def test_a_tracer_that_fails_fails_nothing(engine: Engine, spans: Spans) -> None:
    """If the span of a statement cannot be made, it is executed and timed, and the failure is counted."""
    registry = CollectorRegistry()
    broken = create_engine(engine.url)
    listeners = instrument(broken, registry=registry, tracer=OtelTracer(spans.provider))
    spans.provider.add_span_processor(Broken())
    with spans.provider.get_tracer("test").start_as_current_span("work"), broken.connect() as connection:
        connection.execute(insert(THINGS), {"n": 1})
        with pytest.raises(IntegrityError):
            connection.execute(insert(THINGS), {"n": 1})
    broken.dispose()
    assert listeners.guard.errors >= 3  # the connect, and both statements
    counted = {
        sample.labels["error_type"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "db_client_operation_duration_seconds_count"
    }
    assert counted == {"": 1, "SQLITE_CONSTRAINT_PRIMARYKEY": 1}


def test_a_span_that_is_not_sampled_has_no_children(engine: Engine, spans: Spans) -> None:
    """If the current span is not sampled, its statements have no spans."""
    with get_tracer("another").start_as_current_span("unsampled"), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert not list(spans)
