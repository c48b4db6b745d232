"""The four targets, one figure each, and the lag of the event loop, which every duration contains."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import CONNECTING, happened, quantile, used_of_max

_POOL = ("namespace", "job", "instance", "db_client_connection_pool_name")

ROW = Row(
    "The four targets",
    (
        Panel(
            title="Query p99",
            description="99 of 100 statements take less than this. Target: below 100 ms.",
            unit="s",
            queries=(Query(quantile(0.99, "db_client_operation_duration_seconds"), "p99"),),
            kind="figure",
            red_from=0.1,
            width=5,
        ),
        Panel(
            title="Fullest pool",
            description="Used connections of those that there may be, of the fullest pool. Target: below 100 %,"
            " but for a pool of one (SQLite), which is full whenever it works.",
            unit="percentunit",
            queries=(Query(f"max({used_of_max(*_POOL)})", "used"),),
            kind="figure",
            red_from=1,
            top=1,
            width=5,
        ),
        Panel(
            title="Slow queries",
            description="Statements that took longer than `slow_query` (half a second), in the time shown, without"
            " those that the event loop's lag explains. Target: none. Each has a line `slow query` in the log.",
            unit="short",
            queries=(Query(happened("db_client_slow_operations_total", 'cause="statement"'), "slow"),),
            kind="figure",
            red_from=0.5,
            decimals=0,
            width=5,
        ),
        Panel(
            title="Connection errors",
            description="Failed connects, dead connections found by a ping, and checkouts without a connection, in"
            " the time shown. Target: none.",
            unit="short",
            queries=(Query(happened("db_client_errors_total", CONNECTING), "errors"),),
            kind="figure",
            red_from=0.5,
            decimals=0,
            width=5,
        ),
        Panel(
            title="Event loop lag p99",
            description="99 of 100 callbacks that are due run sooner than this. Above 100 ms, durations say nothing"
            " about the database.",
            unit="s",
            queries=(Query(quantile(0.99, "event_loop_lag_seconds"), "p99"),),
            kind="figure",
            red_from=0.1,
            width=4,
        ),
    ),
)
