"""Utilization, saturation and errors of the connection pool."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import CONNECTING, METHOD, quantile, rate, select, total, used_of_max

_POOL = "db_client_connection_pool_name"
_WAIT, _CREATE = "db_client_connection_wait_time_seconds", "db_client_connection_create_time_seconds"

ROW = Row(
    "The connection pool: utilization, saturation, errors",
    (
        Panel(
            title="Connections",
            description="Used and idle connections, and how many there may be, over all instances that are chosen.",
            unit="short",
            queries=(
                Query(
                    total(select("db_client_connection_count"), _POOL, "db_client_connection_state"),
                    "{{db_client_connection_pool_name}} {{db_client_connection_state}}",
                ),
                Query(total(select("db_client_connection_max"), _POOL), "{{db_client_connection_pool_name}} max"),
            ),
        ),
        Panel(
            title="Utilization by instance",
            description="Used connections of those that there may be. At 100 % the next checkout waits.",
            unit="percentunit",
            queries=(Query(used_of_max("instance", _POOL), "{{instance}} {{db_client_connection_pool_name}}"),),
            red_from=1,
            top=1,
        ),
        Panel(
            title="Pending checkouts",
            description="Checkouts that wait for a connection.",
            unit="short",
            queries=(Query(total(select("db_client_connection_pending_requests"), "instance"), "{{instance}}"),),
            stacked=True,
        ),
        Panel(
            title="Wait p99",
            description="How long 99 of 100 checkouts wait at the most, without the time to make a connection; by"
            " how the wait ended.",
            unit="s",
            queries=(Query(quantile(0.99, _WAIT, by=("outcome",)), "{{outcome}}"),),
        ),
        Panel(
            title="Timeouts",
            description="Checkouts that got no connection within `pool_timeout`; callers are told UNAVAILABLE.",
            unit="ops",
            queries=(Query(total(rate("db_client_connection_timeouts_total"), "instance"), "{{instance}}"),),
        ),
        Panel(
            title="Connection errors",
            description="By phase: `connect`, no connection could be made; `ping`, one was found dead and replaced;"
            " `checkout`, there was none in time.",
            unit="ops",
            queries=(
                Query(
                    total(rate("db_client_errors_total", CONNECTING), "phase", "error_type"),
                    "{{phase}} {{error_type}}",
                ),
            ),
        ),
        Panel(
            title="Created and closed",
            description="Connections made, and connections that left the pool for good, by cause. Many of both mean"
            " that connections are not reused.",
            unit="ops",
            queries=(
                Query(total(rate("db_client_connections_created_total")), "created"),
                Query(total(rate("db_client_connections_closed_total"), "cause"), "closed: {{cause}}"),
            ),
        ),
        Panel(
            title="Create time p99",
            description="The time to make a connection and set it up, or until that failed.",
            unit="s",
            queries=(Query(quantile(0.99, _CREATE, by=("outcome",)), "{{outcome}}"),),
        ),
        Panel(
            title="Held by method",
            description="How many connections the RPCs of a method hold on average. Used connections that are"
            " missing here are held outside of RPCs.",
            unit="short",
            queries=(
                Query(
                    total(rate("rpc_db_connection_held_seconds_total", METHOD), "grpc_method"), "{{grpc_method}}"
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Use time p99",
            description="From checkout to checkin: what an RPC keeps a connection for.",
            unit="s",
            queries=(
                Query(quantile(0.5, "db_client_connection_use_time_seconds"), "p50"),
                Query(quantile(0.99, "db_client_connection_use_time_seconds"), "p99"),
            ),
        ),
    ),
)
