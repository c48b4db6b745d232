"""/live.json has the current counters for the live page."""

import asyncio
import contextlib
import http.client
import json
import logging
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from tablestakes.app import App
from tablestakes.telemetry import (
    Instrumentation,
    Live,
    LoopLag,
    MetricsServer,
    RpcMetrics,
    TimedQueuePool,
    current_rpc,
    enter,
    instrument,
    serve,
)
from tablestakes.telemetry.show.history import MAX_SAMPLES, History
from tests.serving import eventually
from tests.telemetry.http_request import request

CANARY = "canary-51c7"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u2028\U0001f600"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with a pool of two that times its waits."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'live.db'}",
        poolclass=TimedQueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=0.01,
    )
    yield made
    made.dispose()


@pytest.fixture
def watched(engine: Engine, registry: CollectorRegistry) -> Instrumentation:
    """The instrumentation of the engine, for which every statement is slow."""
    return instrument(engine, registry=registry, slow_seconds=0.0, trace_id=lambda: "4bf92f35")


@pytest.fixture
def rpcs(registry: CollectorRegistry) -> RpcMetrics:
    """The RPCs of a server."""
    return RpcMetrics(registry, repeat_threshold=3)


@pytest.fixture
def server(registry: CollectorRegistry, watched: Instrumentation, rpcs: RpcMetrics) -> Iterator[MetricsServer]:
    """A server with the live page of the engine and the RPCs."""
    live = Live("shop", "4.2", engines=[watched], rpcs=rpcs, lag=LoopLag(registry))
    running = serve("127.0.0.1", 0, registry, live)
    yield running
    running.close()


def _read(server: MetricsServer) -> Any:
    return json.loads(request(server, "/live.json")[2])


def _rpc(rpcs: RpcMetrics, name: str, engine: Engine, *statements: str, code: str = "OK") -> None:
    method = rpcs.method("shop.v1.Shop", name)
    method.started()
    account = enter(method)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement), {"word": CANARY} if ":word" in statement else {})
    method.finish(account, code)
    current_rpc.set(None)


def test_statements_have_their_time_and_their_rpcs(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """A statement that two methods send is listed once, with the executions and the time of each method."""
    _rpc(rpcs, "Buy", engine, "SELECT :word AS word", "SELECT 1")
    _rpc(rpcs, "Sell", engine, "SELECT :word AS word")
    _rpc(rpcs, "Sell", engine, "SELECT :word AS word")
    found = {row["text"]: row for row in _read(server)["statements"]}
    assert found.keys() == {"SELECT ? AS word", "SELECT 1"}
    row = found["SELECT ? AS word"]
    assert (row["operation"], row["collection"], row["times"]) == ("SELECT", "raw", 3)
    assert {part["method"]: part["times"] for part in row["methods"]} == {
        "/shop.v1.Shop/Buy": 1,
        "/shop.v1.Shop/Sell": 2,
    }
    assert row["seconds"] == pytest.approx(sum(part["seconds"] for part in row["methods"]))
    assert 0 < row["longest"] == max(part["longest"] for part in row["methods"]) <= row["seconds"]


def test_the_costliest_statements_are_listed(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """Only the costliest of many statements are listed, also one that is costly only in total."""
    _rpc(rpcs, "Buy", engine, *(f"SELECT {number}" for number in range(120)), *["SELECT 'often'"] * 1_000)
    reading = _read(server)["statements"]
    assert 25 <= len(reading) <= 75
    assert "SELECT 'often'" in [row["text"] for row in reading]


def test_suspects_are_listed_with_their_repetitions(
    server: MetricsServer, engine: Engine, rpcs: RpcMetrics
) -> None:
    """A repeated statement is listed with its method, the number of such RPCs and the most repetitions of one."""
    for times in (2, 3, 5):
        _rpc(rpcs, "List", engine, *["SELECT 7"] * times)
    suspects = _read(server)["suspects"]
    assert suspects["threshold"] == 3
    assert suspects["found"] == [
        {
            "method": "/shop.v1.Shop/List",
            "operation": "SELECT",
            "collection": "raw",
            "text": "SELECT 7",
            "rpcs": 2,
            "repeated": 5,
        }
    ]


def test_rpcs_have_codes_times_and_phases(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """A method has its started and ended RPCs, its buckets, its statements, and phases that add up to its time."""
    _rpc(rpcs, "Buy", engine, "SELECT 1", "SELECT 2")
    _rpc(rpcs, "Buy", engine, "SELECT 1", code="NotFound")
    rpcs.method("shop.v1.Shop", "Buy").started()
    reading = _read(server)["rpcs"]
    [method] = reading["methods"]
    assert (method["method"], method["started"]) == ("/shop.v1.Shop/Buy", 3)
    assert method["codes"] == {"OK": 1, "NotFound": 1}
    assert method["statements"] == 3
    assert sum(method["counts"]) == 2
    assert len(method["counts"]) == len(reading["bounds"]) + 1
    assert sum(method["phases"].values()) == pytest.approx(method["seconds"])
    assert method["phases"]["query"] > 0


def test_slow_queries_have_their_rpc_and_trace(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """The last slow query comes first, with its time, its text, its RPC and its trace."""
    _rpc(rpcs, "Buy", engine, "SELECT 1", "SELECT :word AS word")
    [reading] = _read(server)["engines"]
    assert (reading["slow"]["threshold"], reading["slow"]["times"]) == (0.0, 2)
    last, first = reading["slow"]["recent"]
    assert first["time"] <= last["time"]
    assert last["db_query_text"] == "SELECT ? AS word"
    assert last["rpc_method"] == "/shop.v1.Shop/Buy"
    assert last["trace_id"] == "4bf92f35"
    assert last["duration_seconds"] > 0


def test_no_value_is_shown(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """The bound values of a statement appear nowhere, even if it failed or was slow."""
    _rpc(rpcs, "Buy", engine, "SELECT :word AS word")
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT * FROM nowhere WHERE word = :word"), {"word": CANARY})
    body = request(server, "/live.json")[2]
    assert b"SELECT ? AS word" in body
    assert b"nowhere" in body
    assert CANARY.encode() not in body


def test_the_pool_has_its_current_state(server: MetricsServer, engine: Engine) -> None:
    """The pool has its used, idle and maximum connections, its checkouts and its timeouts."""
    with engine.connect(), engine.connect(), pytest.raises(PoolTimeout):
        engine.connect()
    with engine.connect():
        [reading] = _read(server)["engines"]
    assert (reading["system"], reading["pool"]) == ("sqlite", "default")
    connections, waits = reading["connections"], reading["waits"]
    assert (connections["used"], connections["idle"], connections["max"]) == (1, 1, 2)
    assert (connections["created"], connections["closed"]) == (2, {})
    assert (waits["pending"], waits["timeouts"], sum(waits["counts"])) == (0, 1, 4)
    assert reading["errors"] == [{"phase": "checkout", "error_type": "timeout", "disconnect": False, "times": 1}]


def test_a_pool_without_a_limit_has_no_maximum(registry: CollectorRegistry) -> None:
    """A pool without a limit has the maximum null, and a pool that does not report waits has the waits null."""
    engine = create_engine("sqlite://", poolclass=QueuePool, max_overflow=-1)
    [reading] = Live("shop", engines=[instrument(engine, registry=registry)]).read()["engines"]
    engine.dispose()
    assert reading["connections"]["max"] is None
    assert reading["waits"] is None


def test_statements_are_counted_by_duration(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """Each statement is in one bucket, also one outside of an RPC and one that failed."""
    _rpc(rpcs, "Buy", engine, "SELECT 1")
    with engine.connect() as connection:
        connection.execute(text("SELECT 2"))
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT nothing"))
    [reading] = _read(server)["engines"]
    assert sum(reading["counts"]) == 3
    assert len(reading["counts"]) == len(reading["bounds"]) + 1


def test_a_server_without_engines_has_an_empty_reading(registry: CollectorRegistry) -> None:
    """Without engines, RPCs and a probe of the loop, the reading is empty."""
    server = serve("127.0.0.1", 0, registry, Live("shop"))
    reading = _read(server)
    server.close()
    assert (reading["name"], reading["version"]) == ("shop", "")
    assert reading["uptime"] >= 0
    assert reading["rpcs"]["methods"] == reading["engines"] == []
    assert reading["statements"] == reading["suspects"]["found"] == []
    assert reading["lag"] is None


async def test_the_lag_of_the_loop_is_shown(registry: CollectorRegistry) -> None:
    """The measurements of the loop lag are in the buckets."""
    lag = LoopLag(registry, interval=0.001)
    lag.start()
    await asyncio.sleep(0.01)
    lag.stop()
    reading = Live("shop", lag=lag).read()["lag"]
    assert sum(reading["counts"]) > 0
    assert len(reading["counts"]) == len(reading["bounds"]) + 1


async def test_the_history_is_bounded_and_continues(watched: Instrumentation) -> None:
    """The server keeps the last 150 samples, and a page gets only those that it has not got yet."""
    live = Live("shop", engines=[watched])
    history = History(live.sample, live.read, interval=0.001)
    history.start()
    history.start()
    await eventually(lambda: len(history.since(-1.0)) == MAX_SAMPLES, 30)
    first = history.since(-1.0)[0]["time"]
    await eventually(lambda: history.since(-1.0)[0]["time"] > first, 30)
    history.stop()
    history.stop()
    kept = history.since(-1.0)
    assert len(kept) == MAX_SAMPLES
    assert [sample["time"] for sample in kept] == sorted(sample["time"] for sample in kept)
    assert history.since(kept[99]["time"]) == kept[100:]


def test_the_reading_of_a_minute_ago_is_kept() -> None:
    """The figures of a minute begin with a reading that is a minute old, or with the oldest one until then."""
    times = iter(float(10 * number) for number in range(12))
    taken: list[float] = []

    def read() -> dict[str, float]:
        taken.append(next(times, math.inf))
        if taken[-1] == math.inf:
            raise RuntimeError("no more readings")
        return {"uptime": taken[-1]}

    history = History(lambda: {"time": 0.0}, read, interval=0.0001)
    assert history.before_minute(30.0) is None
    history.start()
    while math.inf not in taken:
        time.sleep(0.001)
    history.stop()
    assert history.before_minute(111.0) == {"uptime": 50.0}
    # Only the last ones are kept.
    assert history.before_minute(60.0) == {"uptime": 40.0}


def test_the_server_serves_its_history(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """The first reading has the history with the counters of charts, and later ones what is new since a time."""
    _rpc(rpcs, "Buy", engine, "SELECT 1", code="NotFound")
    reading = _read(server)
    assert reading["history"][0]["time"] <= reading["uptime"]
    assert reading["before"]["uptime"] <= reading["uptime"]
    later = json.loads(request(server, f"/live.json?since={reading['uptime']}")[2])
    assert (later["history"], later["before"]) == ([], None)
    assert json.loads(request(server, f"/live.json?since={reading['uptime']}&minute=1")[2])["before"] is not None
    assert json.loads(request(server, "/live.json?since=never")[2])["history"]


def test_a_sample_has_the_sums_of_a_reading(watched: Instrumentation, engine: Engine, rpcs: RpcMetrics) -> None:
    """A sample has the RPCs that ended, failed and run, their buckets, and the state of each engine."""
    _rpc(rpcs, "Buy", engine, "SELECT 1", code="NotFound")
    _rpc(rpcs, "Sell", engine, "SELECT 1")
    rpcs.method("shop.v1.Shop", "Sell").started()
    live = Live("shop", engines=[watched], rpcs=rpcs)
    sample, reading = live.sample(), live.read()
    assert (sample["ended"], sample["failed"], sample["in_flight"]) == ([1, 1], 1, 1)
    assert sample["counts"] == [
        sum(pair) for pair in zip(*(m["counts"] for m in reading["rpcs"]["methods"]), strict=True)
    ]
    [shown] = reading["engines"]
    assert len(shown["slow"].pop("recent")) == 2
    assert sample["engines"][0]["slow"].pop("recent") == []
    assert sample["engines"] == [shown]


def test_the_runbooks_have_a_section_for_each_anchor(registry: CollectorRegistry) -> None:
    """The runbooks are a page whose sections have the anchors of the alerts, and their text stays text."""
    live = Live("shop", runbooks="# Runbooks\n\n## ShopPoolFull\n\n<b>Look</b> at it.\n")
    server = serve("127.0.0.1", 0, registry, live)
    status, headers, body = request(server, "/runbooks")
    assert _read(server)["runbooks"] == ["shoppoolfull"]
    server.close()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b'<h2 id="shoppoolfull">ShopPoolFull</h2><pre>&lt;b&gt;Look&lt;/b&gt; at it.</pre>' in body


def test_failures_of_listeners_are_shown(server: MetricsServer, watched: Instrumentation) -> None:
    """The number of failures of the instrumentation is in the reading."""
    watched.guard.wrap("test", lambda: 1 / 0)()
    assert _read(server)["instrumentation_errors"] == 1


def test_hostile_text_is_text(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """SQL with HTML in it is transferred unchanged, in ASCII."""
    statement = f"SELECT 1 /* {HOSTILE} */"
    _rpc(rpcs, "Buy", engine, statement)
    _, headers, body = request(server, "/live.json")
    assert headers["Content-Type"] == "application/json"
    assert body.isascii()
    assert [row["text"] for row in json.loads(body)["statements"]] == [statement]


def test_long_texts_are_cut(server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """A statement of a megabyte is cut."""
    _rpc(rpcs, "Buy", engine, f"SELECT '{'x' * 1_000_000}'")
    assert len(request(server, "/live.json")[2]) < 20_000


def test_any_field_of_a_slow_query_can_be_shown(
    server: MetricsServer, watched: Instrumentation, engine: Engine, rpcs: RpcMetrics
) -> None:
    """A trace id of a type that JSON does not have is shown as text."""
    trace = UUID(int=0xF00)
    watched.slow.trace_id = lambda: cast("str", trace)
    _rpc(rpcs, "Buy", engine, "SELECT 1")
    [reading] = _read(server)["engines"]
    assert reading["slow"]["recent"][0]["trace_id"] == str(trace)


def test_the_page_may_do_nothing_but_read(server: MetricsServer) -> None:
    """The policy allows only the page's own script, style and server, and no site may embed the page."""
    status, headers, body = request(server, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["script-src"].startswith("'sha256-")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in body
    assert b"innerHTML" not in body


@pytest.mark.parametrize("path", ["/", "/live.json"])
def test_responses_are_not_cached_or_embedded(server: MetricsServer, path: str) -> None:
    """The headers keep SQL out of caches and of other sites."""
    headers = request(server, path)[1]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("path", ["/", "/live.json"])
def test_head_and_other_methods(server: MetricsServer, path: str) -> None:
    """HEAD is answered like GET without the body, and other methods with 405."""
    status, headers, body = request(server, path, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0
    status, headers, _ = request(server, path, "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_without_a_reading_there_is_no_page(registry: CollectorRegistry) -> None:
    """A server without `live` has only a link to its metrics, and no /live.json."""
    server = serve("127.0.0.1", 0, registry)
    assert b'href="/metrics"' in request(server, "/")[2]
    assert request(server, "/live.json")[0] == 404
    server.close()


def test_a_failed_reading_is_a_server_error(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed reading is answered with 500 and logged, and the page is still served."""
    live = Live("shop")
    monkeypatch.setattr(live, "read", lambda: {"nan": float("nan")})
    server = serve("127.0.0.1", 0, registry, live)
    with caplog.at_level(logging.ERROR):
        assert request(server, "/live.json")[0] == 500
    assert request(server, "/")[0] == 200
    server.close()
    assert [record.getMessage() for record in caplog.records] == ["a scrape failed"]


async def test_the_service_has_a_live_reading(app: App) -> None:
    """The reading of the running service has its name, its pools and its methods."""
    host, _, port = app.metrics_address.rpartition(":")

    def read() -> Any:
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/live.json")
            return json.loads(connection.getresponse().read())

    reading = await asyncio.to_thread(read)
    assert reading["name"] == "tablestakes"
    assert "/marketplace.v1.UserService/GetUser" in {method["method"] for method in reading["rpcs"]["methods"]}
    assert [engine["pool"] for engine in reading["engines"]] == list(app.database.engines)
    assert {engine["system"] for engine in reading["engines"]} == {app.database.engine.dialect.name}
    assert all(engine["connections"]["max"] >= 1 for engine in reading["engines"])
    assert reading["lag"] is not None
    assert {"tablestakesqueryp99high", "tablestakeseventlooplag"} <= set(reading["runbooks"])


def test_a_copy_serves_its_page(tmp_path: Path) -> None:
    """A copy of the package under another name, without this service, serves its page."""
    shutil.copytree(Path(__file__).parents[2] / "server" / "tablestakes" / "telemetry", tmp_path / "watch")
    program = """
import http.client, watch
live = watch.Live("shop")
server = watch.serve("127.0.0.1", 0, watch.new_registry(), live)
connection = http.client.HTTPConnection(server.host, server.port)
connection.request("GET", "/")
print(connection.getresponse().read() == open("watch/show/live.html", "rb").read())
server.close()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert (ran.stdout, ran.stderr) == ("True\n", "")
