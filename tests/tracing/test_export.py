"""The environment requests traces by OpenTelemetry's variables, and failed tracing does not disturb the service."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc

from tablestakes.telemetry.tracing import requesting_variable
from tests.postgres import free_port
from tests.process import run, server
from tests.tracing.otlp_collector import collecting
from tests.tracing.trace_context import Caller

# The import system asks this finder first, so that OpenTelemetry appears not to be installed.
MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
LISTS = user_pb2.ListUsersRequest(page_size=3)
QUIET = dict.fromkeys(("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"), "")


@pytest.fixture
def missing(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which OpenTelemetry is not installed."""
    folder = tmp_path / "missing"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(MISSING)
    return QUIET | {"PYTHONPATH": str(folder)}


async def call(address: str, caller: Caller) -> None:
    """Call ListUsers of a server."""
    async with grpc.aio.insecure_channel(address) as channel:
        await user_pb2_grpc.UserServiceStub(channel).ListUsers(LISTS, metadata=caller.metadata)


async def test_spans_reach_a_collector_by_the_end(tmp_path: Path) -> None:
    """A server sends its spans to the collector when it drains, at the latest."""
    caller = Caller()
    async with collecting() as collector:
        environment = QUIET | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=7",
            # Without a drain, the batch would be sent after ten minutes.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
        }
        arguments = ("--access-log=info", "--slow-query=0.000001")
        async with server(f"sqlite+aiosqlite:///{tmp_path}/otlp.db", *arguments, **environment) as running:
            await call(running.address, caller)
            assert not collector.received
            running.process.send_signal(signal.SIGTERM)
            assert await running.stopped() == 0
        spans = {span.name: span for span in collector.spans}
    rpc, statement = spans["marketplace.v1.UserService/ListUsers"], spans["SELECT users"]
    assert {span.trace_id.hex() for span in collector.spans} == {caller.trace}
    assert rpc.parent_span_id.hex() == caller.span
    assert statement.parent_span_id == rpc.span_id
    assert collector.resource["service.name"] == "tablestakes"
    assert collector.resource["service.version"] == "7", "the environment overrides the version"
    assert collector.resource["deployment.environment.name"] == "test"
    lines = [json.loads(line) for line in running.lines]
    for event in ("rpc", "slow query"):
        [line] = [line for line in lines if line["event"] == event and line.get("trace_id")]
        assert (line["trace_id"], line["span_id"]) == (caller.trace, rpc.span_id.hex())
    assert not [line for line in lines if line["event"] == "draining" and "trace_id" in line]


async def test_a_missing_collector_does_not_disturb_the_service(tmp_path: Path) -> None:
    """Without a collector calls are answered, the log is not flooded, and the drain does not hang."""
    environment = QUIET | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with server(f"sqlite+aiosqlite:///{tmp_path}/away.db", **environment) as running:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            await call(running.address, Caller())
        running.process.send_signal(signal.SIGTERM)
        assert await running.stopped() == 0
    lines = [json.loads(line) for line in running.lines]
    events = [line["event"] for line in lines if line["logger"].startswith("opentelemetry.")]
    assert events
    assert len(events) <= 3, events


async def test_without_the_packages_it_serves(tmp_path: Path, missing: dict[str, str]) -> None:
    """If OpenTelemetry is neither installed nor requested, the server serves."""
    async with server(f"sqlite+aiosqlite:///{tmp_path}/none.db", **missing) as running:
        await call(running.address, Caller())
        running.process.send_signal(signal.SIGTERM)
        assert await running.stopped() == 0


async def test_requested_without_the_packages_is_one_line(missing: dict[str, str]) -> None:
    """If traces are requested and not installed, one line says so, and the exit code is 2."""
    code, _, errors = await run("serve", **missing | {"OTEL_TRACES_EXPORTER": "otlp"})
    assert (code, errors) == (
        2,
        "tablestakes: OTEL_TRACES_EXPORTER asks for traces, but opentelemetry is not installed;"
        " the extra `otel` has it\n",
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: there is no exporter for 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: there is no exporter for 'pigeon'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            "the exporter for 'grpc' cannot be made: ",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "pigeon"}, "OTEL_PROPAGATORS: "),
    ],
)
async def test_a_bad_value_is_one_line(environment: dict[str, str], message: str) -> None:
    """An invalid value of a variable is one line on standard error, and exit code 2."""
    code, _, errors = await run("serve", **QUIET | environment)
    assert code == 2
    [line] = errors.splitlines()
    assert line.startswith(f"tablestakes: {message}")


def test_without_a_request_nothing_is_imported() -> None:
    """If no traces are requested, the whole server is imported without OpenTelemetry."""
    code = (
        "import sys, server.__main__; from tablestakes.telemetry import open_tracer;"
        "assert open_tracer('shop', '1') is None;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, None),
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}, None),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_SERVICE_NAME": "shop"}, None),
    ],
)
def test_which_variables_request_traces(
    environment: dict[str, str], variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter or an endpoint requests traces, unless the exporter is `none` or the SDK is disabled."""
    for name in (*QUIET, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert requesting_variable() == variable
