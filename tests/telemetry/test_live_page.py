"""The live page in a browser; the tests are skipped on a machine without Chromium."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine

from tablestakes.telemetry import (
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
from tests.telemetry.browser import Browser, browsing, chromium

if chromium() is None:
    pytest.skip("no chromium, chromium-browser or google-chrome on PATH", allow_module_level=True)

NONE, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"  # as the page writes them
HOSTILE = "SELECT 'x</script><script>window.owned = 1</script><img src=x onerror=\"window.owned = 1\">' AS y"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of this module."""
    path = chromium()
    assert path is not None
    with browsing(path, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(running: Browser) -> Iterator[Browser]:
    """The browser; exceptions of its page and violations of its policy fail the test."""
    running.errors.clear()
    yield running
    assert running.errors == []
    running.open("about:blank")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with a pool of two."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'page.db'}",
        poolclass=TimedQueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=0.01,
    )
    yield made
    made.dispose()


@pytest.fixture
def rpcs(registry: CollectorRegistry) -> RpcMetrics:
    """The RPCs of a server, for which three repetitions are suspect."""
    return RpcMetrics(registry, repeat_threshold=3)


@pytest.fixture
def server(registry: CollectorRegistry, engine: Engine, rpcs: RpcMetrics) -> Iterator[MetricsServer]:
    """A server for which every statement is slow."""
    watched = instrument(engine, registry=registry, slow_seconds=0.0, trace_id=lambda: "4bf92f35")
    running = serve(
        "127.0.0.1", 0, registry, Live("shop", "4.2", engines=[watched], rpcs=rpcs, lag=LoopLag(registry))
    )
    yield running
    running.close()


def _rpc(rpcs: RpcMetrics, name: str, engine: Engine, *statements: str, code: str = "OK") -> None:
    method = rpcs.method("shop.v1.Shop", name)
    method.started()
    account = enter(method)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    method.finish(account, code)
    current_rpc.set(None)


def _open(browser: Browser, server: MetricsServer, **window: Any) -> None:
    browser.open(f"http://{server.host}:{server.port}/", **window)
    browser.until("document.getElementById('state')?.textContent === 'live'")


def _rows(browser: Browser, section: str) -> list[list[str]]:
    """Return the texts of the cells in the table of a section."""
    rows: list[list[str]] = browser.evaluate(
        f"[...document.querySelectorAll('#{section} tbody tr:not(.detail)')].map(row => "
        "[...row.cells].map(cell => cell.textContent))"
    )
    return rows


def _targets(browser: Browser) -> list[tuple[str, str]]:
    found = browser.evaluate(
        "[...document.querySelectorAll('.target')].map(one => "
        "[one.dataset.verdict, one.querySelector('.value').textContent])"
    )
    return [(verdict, value) for verdict, value in found]


def test_a_load_is_shown_in_figures(
    browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics
) -> None:
    """RPCs, statements, suspects, slow queries and the pool are shown with their counts."""
    for _ in range(4):
        _rpc(rpcs, "Buy", engine, "SELECT 1")
    _rpc(rpcs, "Buy", engine, "SELECT 1", code="Internal")
    _rpc(rpcs, "List", engine, *["SELECT 2"] * 6)
    _open(browser, server)
    assert browser.evaluate("document.title") == "shop · live"
    assert browser.evaluate("document.getElementById('about').textContent").startswith("4.2 · up ")
    buy, lists = _rows(browser, "rpcs")
    assert (buy[0], buy[3], buy[6], buy[7], buy[9]) == ("Buy", "20 %", NONE, "1.0", "5")
    assert (lists[0], lists[3], lists[7], lists[9]) == ("List", NONE, "6.0", "1")
    assert all(cell.endswith("ms") for row in (buy, lists) for cell in row[4:6])
    statements = {row[0]: row for row in _rows(browser, "statements")}
    assert statements.keys() == {"SELECT 1", "SELECT 2"}
    assert (statements["SELECT 1"][1], statements["SELECT 1"][3]) == ("Buy", "5")
    assert (statements["SELECT 2"][1], statements["SELECT 2"][3]) == ("List", "6")
    assert _rows(browser, "suspects") == [["SELECT 2", "List", "1", f"6 {TIMES}"]]
    slow = _rows(browser, "slow")
    assert len(slow) == 10
    assert browser.evaluate("document.querySelector('#slow .more').textContent") == "Show all 11"
    assert {(row[4], row[7]) for row in slow} == {("Buy", "4bf92f35"), ("List", "4bf92f35")}
    assert "0 used, 1 idle, max 2" in browser.evaluate("document.getElementById('pool').textContent")
    assert "statements" in browser.evaluate("document.getElementById('phases').textContent")


def test_the_targets_are_judged(browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """A full pool and slow queries miss their targets; fast statements and no connection errors meet theirs."""
    _rpc(rpcs, "Buy", engine, "SELECT 1")
    with engine.connect(), engine.connect():
        _open(browser, server)
    (query, took), used, slow, errors, lag = _targets(browser)
    assert query == "met"
    assert took.endswith("ms")
    assert used == ("missed", "2 of 2")
    assert slow == ("missed", "1")
    assert errors == ("met", "0")
    assert lag == ("none", NONE)


def test_an_empty_page_has_sentences(browser: Browser, registry: CollectorRegistry) -> None:
    """Without data the page has sentences, and neither NaN nor undefined."""
    server = serve("127.0.0.1", 0, registry, Live("shop"))
    _open(browser, server)
    shown = browser.evaluate("document.body.innerText")
    server.close()
    assert "No RPC has come yet." in shown
    assert "No statement has been slow." in shown
    assert not {"NaN", "undefined", "null", "Infinity"} & set(shown.replace("\n", " ").split())
    assert [verdict for verdict, _ in _targets(browser)] == ["none", "none", "met", "met", "none"]


def test_hostile_text_stays_text(browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """SQL that looks like HTML is shown as text, also when it is opened, and is not executed."""
    _rpc(rpcs, "Buy", engine, *[HOSTILE] * 3)
    _open(browser, server)
    browser.evaluate("document.querySelectorAll('.open').forEach(button => button.click())")
    shown = browser.evaluate("[...document.querySelectorAll('.detail pre')].map(pre => pre.textContent)")
    # One statement, one suspect, three slow queries.
    assert shown == [HOSTILE] * 5
    assert browser.evaluate("window.owned") is None
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate("document.scripts.length") == 1


def test_the_policy_blocks_other_scripts(browser: Browser, server: MetricsServer) -> None:
    """The policy blocks a script element that is added to the page."""
    _open(browser, server)
    refused = browser.evaluate(
        "new Promise(resolve => {"
        "addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));"
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.owned = 1'})) })"
    )
    assert refused == "script-src-elem"
    assert browser.evaluate("window.owned") is None
    assert browser.errors
    assert "Content Security Policy" in browser.errors[0]
    browser.errors.clear()


def test_rows_open_by_keyboard(browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """Enter on the button of a row opens its detail, sets aria-expanded and keeps the focus."""
    _rpc(rpcs, "Buy", engine, "SELECT 1", code="NotFound")
    _open(browser, server)
    browser.evaluate("document.querySelector('#rpcs .open').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.command("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r")
    browser.until("document.activeElement.getAttribute('aria-expanded') === 'true'")
    detail = browser.evaluate("document.querySelector('#rpcs .detail').textContent")
    assert "/shop.v1.Shop/Buy" in detail
    assert "NotFound 1" in detail


def test_columns_order_the_rows(browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics) -> None:
    """A column head orders the rows, a second click reverses them, and aria-sort is set."""
    for name, times in (("Buy", 1), ("List", 3), ("Sell", 2)):
        for _ in range(times):
            _rpc(rpcs, name, engine, "SELECT 1")
    _open(browser, server)
    click = "document.querySelector('#rpcs th:last-child button').click()"
    browser.evaluate(click)
    assert [row[0] for row in _rows(browser, "rpcs")] == ["List", "Sell", "Buy"]
    browser.evaluate(click)
    assert [row[0] for row in _rows(browser, "rpcs")] == ["Buy", "Sell", "List"]
    assert browser.evaluate("document.querySelector('#rpcs th[aria-sort]').textContent") == "Calls"


class _Readings:
    """A server of the page whose reading is set by the test; without one it answers with 503."""

    def __init__(self, page: bytes) -> None:
        self.reading: dict[str, Any] | None = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers with the page or the reading."""

            def do_GET(self) -> None:
                """Answer a GET."""
                data = self.path.partition("?")[0] == "/live.json"
                body = json.dumps(outer.reading).encode() if data else page
                self.send_response(503 if data and outer.reading is None else 200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - http.server's signature
                """Log nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def readings() -> Iterator[_Readings]:
    """A server of the page, with a poll every 50 ms."""
    page = (Path(__file__).parents[2] / "server/tablestakes/telemetry/show/live.html").read_text()
    quick = page.replace("const POLL = 2000;", "const POLL = 50;")
    assert quick != page
    made = _Readings(quick.encode())
    yield made
    made.server.shutdown()
    made.server.server_close()


Reading = Callable[..., dict[str, Any]]


@pytest.fixture
def reading(registry: CollectorRegistry, rpcs: RpcMetrics) -> Reading:
    """A function that makes a reading with an uptime and a number of handled RPCs, of 3 ms each."""

    def make(uptime: float, handled: int, started: float = 1.0) -> dict[str, Any]:
        rpcs.method("shop.v1.Shop", "Buy")
        made: dict[str, Any] = json.loads(Live("shop", rpcs=rpcs).render())
        made |= {"uptime": uptime, "started": started}
        made |= {"history": [], "before": None}
        [method] = made["rpcs"]["methods"]
        method |= {"started": handled, "codes": {"OK": handled}, "seconds": handled * 0.003}
        method["counts"][2] = handled  # above 2.5 ms, up to 5 ms
        method["phases"]["query"] = handled * 0.003
        return made

    del registry
    return make


def _rate(browser: Browser) -> str | None:
    rows = _rows(browser, "rpcs")
    return rows[0][1] if rows else None


def test_rates_and_quantiles_are_of_the_last_minute(
    browser: Browser, readings: _Readings, reading: Reading
) -> None:
    """The figures of the last minute do not include what the program did before."""
    readings.reading = reading(uptime=10_000, handled=1_000_000)
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    assert _rate(browser) == "100"
    readings.reading = reading(uptime=10_010, handled=1_000_020)
    browser.until("document.querySelector('#rpcs td:nth-child(2)').textContent === '2.0'")
    [row] = _rows(browser, "rpcs")
    # 0.5 and 0.99 of the way through the bucket from 2.5 to 5 ms.
    assert (row[4], row[5], row[9]) == ("3.8 ms", "5.0 ms", "1,000,020")
    readings.reading = reading(uptime=10_090, handled=1_000_020)
    browser.until("document.querySelector('#rpcs td:nth-child(2)').textContent === '" + NONE + "'")


def test_a_server_that_does_not_answer_is_shown(browser: Browser, readings: _Readings, reading: Reading) -> None:
    """While the server does not answer, the page says since when and keeps its figures, and later it continues."""
    readings.reading = reading(uptime=5, handled=10)
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    readings.reading = None
    browser.until("document.body.classList.contains('stale')")
    assert browser.evaluate("document.getElementById('state').textContent").startswith("no answer since ")
    assert _rate(browser) == "2.0"
    readings.reading = reading(uptime=10, handled=30)
    browser.until("document.getElementById('state').textContent === 'live'")
    assert not browser.evaluate("document.body.classList.contains('stale')")
    assert _rate(browser) == "3.0"


def test_a_restart_makes_no_negative_rate(browser: Browser, readings: _Readings, reading: Reading) -> None:
    """After a restart, whose counters begin at zero, the rates are those of the new run."""
    readings.reading = reading(uptime=50, handled=1000)
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    assert _rate(browser) == "20"
    readings.reading = reading(uptime=2, handled=8, started=2.0)
    browser.until("document.querySelector('#rpcs td:nth-child(2)').textContent === '4.0'")


def test_a_slow_query_shows_its_plan(
    browser: Browser, readings: _Readings, reading: Reading, engine: Engine, registry: CollectorRegistry
) -> None:
    """The detail of a slow query has its SQL, its plan as text, its error and its trace."""
    readings.reading = reading(uptime=5, handled=1)
    [shown_engine] = Live("shop", engines=[instrument(engine, registry=registry)]).read()["engines"]
    shown_engine["slow"]["recent"] = [
        {
            "time": 1.5,
            "duration_seconds": 0.7,
            "db_query_text": "SELECT 1",
            "rpc_method": "/shop.v1.Shop/Buy",
            "error_type": "57014",
            "rows": None,
            "trace_id": "4bf92f35",
            "db_query_plan": "Seq Scan on <b>users</b>",
        }
    ]
    readings.reading["engines"] = [shown_engine]
    browser.open(readings.url)
    browser.until("document.querySelector('#slow .open')")
    browser.evaluate("document.querySelector('#slow .open').click()")
    shown = browser.evaluate("[...document.querySelectorAll('#slow pre')].map(pre => pre.textContent)")
    assert shown == ["SELECT 1", "Seq Scan on <b>users</b>"]
    behind = browser.evaluate("document.querySelector('#slow .detail dl').textContent")
    assert all(word in behind for word in ("1970-01-01T00:00:01.500Z", "/shop.v1.Shop/Buy", "57014", "4bf92f35"))


def test_methods_with_the_same_name_have_their_service(
    browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics
) -> None:
    """If two services have a method with the same name, their rows also name the service."""
    _rpc(rpcs, "Get", engine, "SELECT 1")
    other = rpcs.method("shop.v1.Stock", "Get")
    other.started()
    other.handled("OK", 0.01)
    _open(browser, server)
    assert {row[0] for row in _rows(browser, "rpcs")} == {"Shop/Get", "Stock/Get"}


def test_a_chart_shows_past_values(browser: Browser, readings: _Readings, reading: Reading) -> None:
    """While the pointer is on a chart, all charts show their values of that time, and then the current ones."""
    now = "[...document.querySelectorAll('.chart .now')].map(one => one.textContent)"
    readings.reading = reading(uptime=4, handled=8)
    browser.open(readings.url)
    browser.until(f"{now}[0] === '2.0 /s'")
    readings.reading = reading(uptime=154, handled=8)
    browser.until(f"{now}[0] === '0 /s'")
    box = browser.evaluate("document.querySelector('.chart svg').getBoundingClientRect().toJSON()")
    x, y = box["left"] + box["width"] / 2, box["top"] + 10
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.until(f"{now}[0] === '2.0 /s'")
    assert browser.evaluate(now)[1] == "p99 5.0 ms"
    assert browser.evaluate("document.querySelector('.chart .span').textContent") == "150 s ago"
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    browser.until(f"{now}[0] === '0 /s'")


def _history(reading: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Return 150 samples before a reading, in which ten RPCs ended in each second."""
    uptime = reading["uptime"]
    times = [uptime - 2.0 * ago for ago in range(149, -1, -1)]
    empty = [0] * 16
    return [
        {
            "time": time,
            "counts": [0, 0, int(10 * time), *empty[3:], 0],
            "ended": [int(10 * time)],
            "failed": 0,
            "in_flight": 0,
            "engines": [],
            "lag": None,
        }
        | changes
        for time in times
    ]


def test_the_charts_are_full_at_once(browser: Browser, readings: _Readings, reading: Reading) -> None:
    """With the server's history, the first look at the page has five minutes, whose values are shown on hover."""
    made = reading(uptime=1_000, handled=10_000)
    made["history"] = _history(made)
    made["before"] = reading(uptime=938, handled=9_380)
    readings.reading = made
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    # The two lines of RPCs are the handled ones, and those that were not OK: none, so there is no line at zero.
    handled, failed = browser.evaluate(
        "[...document.querySelectorAll('.chart svg')][0].querySelectorAll('path:not([class])').length === 2 && "
        "[...[...document.querySelectorAll('.chart svg')][0].querySelectorAll('path:not([class])')]"
        ".map(path => path.getAttribute('d')).toReversed()"
    )
    assert handled.count("L") > 140
    assert handled.startswith("M")
    assert float(handled[1:].split(" ")[0]) < 10
    assert failed == ""
    assert _rate(browser) == "10"
    assert browser.evaluate("document.querySelector('#rpcs .note').textContent") == "last minute"
    box = browser.evaluate("document.querySelector('.chart svg').getBoundingClientRect().toJSON()")
    x, y = box["left"] + box["width"] / 2, box["top"] + 10
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.until("document.querySelector('.chart figcaption div').textContent.endsWith(' s ago')")
    assert "handled 10" in browser.evaluate("document.querySelector('.chart .legend').textContent")
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)


def test_a_late_loop_is_not_the_databases_fault(
    browser: Browser, readings: _Readings, reading: Reading, engine: Engine, registry: CollectorRegistry
) -> None:
    """While the loop is late, its own target is missed, and targets that it explains are unclear or met."""
    made = reading(uptime=30, handled=10)
    lag = LoopLag(registry)
    [shown] = Live("shop", engines=[instrument(engine, registry=registry)], lag=lag).read()["engines"]
    shown["counts"] = [0] * 10 + [215] + [0] * 4
    shown["slow"] |= {"times": 215, "by_loop": 215}
    shown["errors"] = [{"phase": "checkout", "error_type": "timeout", "disconnect": False, "times": 3}]
    made["engines"] = [shown]
    made["lag"] = {"bounds": shown["bounds"], "counts": [0] * 10 + [30] + [0] * 4}
    readings.reading = made
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    verdicts = [verdict for verdict, _ in _targets(browser)]
    assert verdicts == ["unclear", "met", "met", "unclear", "missed"]
    assert "215 more only by the event loop's lag" in browser.evaluate("document.body.innerText")
    # The same without the lag is the database's.
    made["lag"]["counts"] = [30] + [0] * 14
    shown["slow"]["by_loop"] = 0
    browser.until("document.querySelector('.target').dataset.verdict === 'missed'")
    assert [verdict for verdict, _ in _targets(browser)] == ["missed", "met", "missed", "missed", "met"]


def test_each_target_links_to_its_runbook(browser: Browser, registry: CollectorRegistry) -> None:
    """A target's name is a link to the section of its alert, if the server has runbooks."""
    names = ["ShopQueryP99High", "ShopPoolFull", "ShopSlowQueries", "ShopConnectionErrors", "ShopEventLoopLag"]
    markdown = "".join(f"## {name}\n\nLook.\n\n" for name in names)
    server = serve("127.0.0.1", 0, registry, Live("shop", runbooks=markdown))
    _open(browser, server)
    links = browser.evaluate("[...document.querySelectorAll('.target a')].map(link => link.getAttribute('href'))")
    assert links == [f"runbooks#{name.lower()}" for name in names]
    browser.open(f"http://{server.host}:{server.port}/{links[0]}")
    browser.until("document.querySelector('h2:target')?.textContent === 'ShopQueryP99High'")
    server.close()


def test_the_page_speaks_plainly(browser: Browser, readings: _Readings, reading: Reading, engine: Engine) -> None:
    """Phases, errors and closed connections have words in place of the names of labels."""
    made = reading(uptime=30, handled=10)
    [shown] = Live("shop", engines=[instrument(engine, registry=CollectorRegistry())]).read()["engines"]
    shown["errors"] = [{"phase": "ping", "error_type": "57P01", "disconnect": True, "times": 2}]
    shown["connections"]["closed"] = {"overflow": 4}
    made["engines"] = [shown]
    readings.reading = made
    browser.open(readings.url)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    text = browser.evaluate("document.querySelector('.three').innerText")
    assert "waiting for a connection" in text
    assert "dead connection replaced: 57P01" in text
    assert "2 since the start" in text
    assert "4 more than the pool keeps" in text
    assert not {"pool_wait", "overflow", "ping"} & set(text.split())
    assert "·" not in browser.evaluate("document.getElementById('errors').innerText")


@pytest.mark.parametrize("width", [820, 1280])
def test_nothing_wraps_far_or_overflows(
    browser: Browser, readings: _Readings, reading: Reading, engine: Engine, registry: CollectorRegistry, width: int
) -> None:
    """In a common window no text has more than four lines, overlaps its neighbor or leaves the window."""
    made = reading(uptime=30, handled=10)
    [shown] = Live("shop", engines=[instrument(engine, registry=registry)]).read()["engines"]
    shown["counts"] = [0] * 10 + [215_000] + [0] * 4
    shown["slow"] |= {"times": 430_000, "by_loop": 215_000}
    shown["errors"] = [
        {"phase": phase, "error_type": "ConnectionRefusedError", "disconnect": True, "times": 123_456}
        for phase in ("connect", "ping", "checkout", "compile", "execute", "fetch", "commit", "rollback")
    ]
    causes = ("recycle", "overflow", "invalidate", "soft_invalidate")
    shown["connections"]["closed"] = dict.fromkeys(causes, 12_345)
    made["engines"] = [shown]
    made["lag"] = {"bounds": shown["bounds"], "counts": [0] * 10 + [30] + [0] * 4}
    readings.reading = made
    browser.open(readings.url, width=width)
    browser.until("document.getElementById('state')?.textContent === 'live'")
    wrong = browser.evaluate(
        "[...document.querySelectorAll('p, dt, dd, th, td, h2, .what > *, .legend > *, figcaption > *')]"
        ".filter(one => one.offsetParent && one.textContent).map(one => {"
        "const box = one.getBoundingClientRect(), line = parseFloat(getComputedStyle(one).fontSize) * 1.6;"
        "const parent = one.parentElement.getBoundingClientRect();"
        "return [one.textContent.slice(0, 40), box.height > 4 * line, box.right > innerWidth,"
        "one.closest('.what') !== null && box.right > parent.right + 1]; })"
        ".filter(([, ...faults]) => faults.some(Boolean))"
    )
    assert wrong == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_no_width_needs_scrolling_sideways(
    browser: Browser, server: MetricsServer, engine: Engine, rpcs: RpcMetrics, width: int
) -> None:
    """Long names and long SQL are cut or wrapped in every window, also when they are opened."""
    columns = ", ".join(f"{number} AS a_rather_long_name_{number}" for number in range(40))
    _rpc(rpcs, "ListEverythingThatThereIsInTheWholeShop", engine, *[f"SELECT {columns}"] * 3)
    _open(browser, server, width=width)
    browser.evaluate("document.querySelectorAll('.open').forEach(button => button.click())")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark(browser: Browser, server: MetricsServer) -> None:
    """The page has the color scheme of the system, until its button sets another one."""
    paper = "getComputedStyle(document.body).backgroundColor"
    _open(browser, server, scheme="light")
    light = browser.evaluate(paper)
    _open(browser, server, scheme="dark")
    assert browser.evaluate(paper) != light
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate("document.getElementById('theme').textContent") == "Theme: light"
    assert browser.evaluate(paper) == light
