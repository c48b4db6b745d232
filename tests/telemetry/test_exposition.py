"""The metrics are served over HTTP from a thread, and no client can disturb the program."""

import gzip
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tablestakes.telemetry import (
    LoopLag,
    MetricsServer,
    RpcMetrics,
    TimedQueuePool,
    current_rpc,
    enter,
    instrument,
    new_registry,
    serve,
)
from tests.telemetry.http_request import request


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    """A server whose registry has samples of every family."""
    registry = new_registry({"version": "1.2.3"})
    method = RpcMetrics(registry).method("shop.v1.Shop", "Buy")
    engine = create_engine("sqlite://", poolclass=TimedQueuePool)
    instrument(engine, registry=registry)
    LoopLag(registry)
    method.started()
    account = enter(method)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES (:n)"), [{"n": 1}, {"n": 2}])
        for _ in range(10):
            connection.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT nothing"))
    method.finish(account, "OK")
    current_rpc.set(None)
    running = serve("127.0.0.1", 0, registry)
    yield running
    running.close()
    engine.dispose()


def test_metrics_are_served(server: MetricsServer) -> None:
    """GET /metrics answers in the text format, and every family has a help text."""
    status, headers, body = request(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parse_text(body.decode())}
    assert all(family.documentation for family in families.values())
    assert {
        "db_client_operation_duration_seconds",
        "db_client_slow_operations",
        "db_client_response_returned_rows",
        "db_client_batch_size",
        "db_client_errors",
        "db_client_transaction_seconds",
        "db_client_commit_seconds",
        "db_client_rollback_seconds",
        "db_client_connection_count",
        "db_client_connection_max",
        "db_client_connection_pending_requests",
        "db_client_connection_wait_time_seconds",
        "db_client_connection_timeouts",
        "db_client_connection_create_time_seconds",
        "db_client_connection_use_time_seconds",
        "db_client_connections_created",
        "db_client_connections_closed",
        "event_loop_lag_seconds",
        "rpc_db_queries",
        "rpc_db_seconds",
        "rpc_db_repeated_statements",
        "grpc_server_started",
        "grpc_server_handled",
        "grpc_server_handling_seconds",
        "grpc_server_msg_received",
        "grpc_server_msg_sent",
        "grpc_server_in_flight",
        "instrumentation_errors",
        "process_cpu_seconds",
        "python_gc_collections",
        "tablestakes_build_info",
    } <= families.keys()
    assert not re.search(rb"(?m)^\w+_created[ {]", body)


def test_openmetrics_and_gzip_are_negotiated(server: MetricsServer) -> None:
    """A scraper that accepts OpenMetrics and gzip gets both."""
    accept = "application/openmetrics-text; version=1.0.0"
    _, headers, body = request(server, "/metrics", Accept=accept, Accept_Encoding="gzip")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert headers["Content-Encoding"] == "gzip"
    names = {family.name for family in parse_openmetrics(gzip.decompress(body).decode())}  # type: ignore[no-untyped-call]
    assert "db_client_operation_duration_seconds" in names
    assert not re.search(rb"(?m)^\w+_created[ {]", gzip.decompress(body))


def test_a_scrape_can_be_restricted(server: MetricsServer) -> None:
    """`name[]` restricts a scrape to the named metrics."""
    _, _, body = request(server, "/metrics?name[]=grpc_server_started_total")
    assert [family.name for family in parse_text(body.decode())] == ["grpc_server_started"]


def test_the_index_links_to_the_metrics(server: MetricsServer) -> None:
    """GET / is a page with a link to the metrics."""
    status, headers, body = request(server, "/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b'href="/metrics"' in body


@pytest.mark.parametrize("path", ["/metrics/", "/favicon.ico", "/..", "/nothing"])
def test_anything_else_is_not_found(server: MetricsServer, path: str) -> None:
    """Any other path is answered with 404."""
    assert request(server, path)[0] == 404


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_head_is_get_without_the_body(server: MetricsServer, path: str) -> None:
    """HEAD is answered with the headers of GET and no body."""
    status, headers, body = request(server, path, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(server: MetricsServer, method: str) -> None:
    """Other methods are answered with 405 and the allowed methods."""
    status, headers, _ = request(server, "/metrics", method)
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def test_an_address_in_use_is_an_error(server: MetricsServer) -> None:
    """A second server on the same port raises OSError."""
    with pytest.raises(OSError, match="in use"):
        serve("127.0.0.1", server.port, CollectorRegistry())


def test_close_frees_the_port(registry: CollectorRegistry) -> None:
    """A closed server does not answer, its port can be used again, and closing it again does nothing."""
    first = serve("127.0.0.1", 0, registry)
    first.close()
    first.close()
    with pytest.raises(ConnectionError):
        request(first, "/")
    second = serve("127.0.0.1", first.port, registry)
    assert request(second, "/")[0] == 200
    second.close()


def test_an_ipv6_address(registry: CollectorRegistry) -> None:
    """An IPv6 address is served if the machine has IPv6, and raises OSError otherwise."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        with pytest.raises(OSError, match=r"."):
            serve("::1", 0, registry)
        return
    server = serve("::1", 0, registry)
    assert request(server, "/")[0] == 200
    server.close()


def test_a_scraper_that_disconnects_prints_no_traceback(
    server: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that is reset during a request prints nothing, and the next scrape is served."""
    for sent in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(sent)
            # With this option, closing resets the connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert request(server, "/metrics")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_broken_collector_is_a_server_error(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failed scrape is answered with 500, and is logged rather than printed."""

    class Broken:
        """A collector without names whose scrape fails."""

        def describe(self) -> Iterator[Metric]:
            """Yield nothing."""
            yield from ()

        def collect(self) -> Iterator[Metric]:
            """Fail."""
            raise RuntimeError("broken")

    registry.register(Broken())
    server = serve("127.0.0.1", 0, registry)
    assert request(server, "/metrics")[0] == 500
    assert request(server, "/")[0] == 200
    server.close()
    assert [record.getMessage() for record in caplog.records] == ["a scrape failed"]
    assert capfd.readouterr().err == ""


def test_scrapes_are_served_by_threads_that_end_with_the_program(server: MetricsServer) -> None:
    """The threads of the server are daemons, so they do not keep the program alive."""
    threads = [thread for thread in threading.enumerate() if thread.name == "metrics"]
    assert threads
    assert all(thread.daemon for thread in threads)
    assert request(server, "/")[0] == 200


def test_promtool_accepts_the_scrape(server: MetricsServer, tmp_path: Path) -> None:
    """Names, units and help texts pass `promtool check metrics`; without promtool, the scrape is only parsed."""
    _, _, body = request(server, "/metrics")
    assert {family.type for family in parse_text(body.decode())} >= {"counter", "gauge", "histogram"}
    promtool = shutil.which("promtool")
    if promtool is not None:
        scrape = tmp_path / "scrape"
        scrape.write_bytes(body)
        with scrape.open() as lines:
            checked = subprocess.run(
                [promtool, "check", "metrics"], stdin=lines, capture_output=True, text=True, check=False
            )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_build_info_has_the_given_labels() -> None:
    """A registry has `<name>_build_info` with the given labels, and no such metric without labels."""
    registry = new_registry({"version": "4"}, name="shop")
    assert registry.get_sample_value("shop_build_info", {"version": "4"}) == 1
    names = {family.name for family in new_registry().collect()}
    assert not any("build" in name for name in names)
