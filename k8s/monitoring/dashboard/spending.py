"""Where the time of an RPC goes."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import METHOD, mean, quantile, rate, select, total

_BY = ("grpc_method",)
_SECONDS = "rpc_db_seconds_total"
_DATABASE = 'phase!="other"'

ROW = Row(
    "Where the time of an RPC goes",
    (
        Panel(
            title="Time of an RPC by phase",
            description="The mean time of the chosen methods' RPCs, by what it went to. The phases add up to the"
            " time of handling; `other` is what was not the database.",
            unit="s",
            queries=(
                Query(
                    f"{total(rate(_SECONDS, METHOD), 'phase')} / ignoring (phase) group_left ()"
                    f" sum by () ({rate('grpc_server_handling_seconds_count', METHOD)})",
                    "{{phase}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Time in the database by method",
            description="Seconds in a second that RPCs of each method spend on the database: what to make faster"
            " first.",
            unit="s",
            queries=(Query(total(rate(_SECONDS, METHOD, _DATABASE), *_BY), "{{grpc_method}}"),),
            stacked=True,
        ),
        Panel(
            title="Wait for the pool by method",
            description="Seconds in a second that RPCs of each method wait for a connection.",
            unit="s",
            queries=(Query(total(rate(_SECONDS, METHOD, 'phase="pool_wait"'), *_BY), "{{grpc_method}}"),),
            stacked=True,
        ),
        Panel(
            title="Queries of an RPC",
            description="The mean number of statements that one RPC sends.",
            unit="short",
            queries=(Query(mean("rpc_db_queries", METHOD, by=_BY), "{{grpc_method}}"),),
        ),
        Panel(
            title="Queries of an RPC, p99",
            description="99 of 100 RPCs send no more statements than this, within the histogram's buckets.",
            unit="short",
            queries=(Query(quantile(0.99, "rpc_db_queries", METHOD, by=_BY), "{{grpc_method}}"),),
        ),
        Panel(
            title="N+1 suspects",
            description="Methods of which an RPC sent one statement ten times or more, and to which table, since"
            " the processes started. The log has a line `repeated statement` for the first of each.",
            unit="short",
            queries=(
                Query(
                    total(
                        select("rpc_db_repeated_statements_total", METHOD),
                        *("grpc_service", "grpc_method", "db_collection_name"),
                    ),
                    "",
                ),
            ),
            kind="table",
        ),
    ),
)
