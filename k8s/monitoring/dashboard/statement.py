"""Statements, by operation and table."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import quantile, rate, total

_BY = ("db_operation_name", "db_collection_name")
_LEGEND = "{{db_operation_name}} {{db_collection_name}}"
_DURATION, _ROWS = "db_client_operation_duration_seconds", "db_client_response_returned_rows"

ROW = Row(
    "Statements",
    (
        Panel(
            title="Rate",
            description="Statements in a second, also failed ones.",
            unit="ops",
            queries=(Query(total(rate(f"{_DURATION}_count"), *_BY), _LEGEND),),
            stacked=True,
        ),
        Panel(
            title="p99",
            description="99 of 100 statements take less than this. The target is 100 ms over all of them.",
            unit="s",
            queries=(Query(quantile(0.99, _DURATION, by=_BY), _LEGEND),),
            red_from=0.1,
        ),
        Panel(
            title="Time spent",
            description="Seconds in a second that statements take: how many of them run at once.",
            unit="s",
            queries=(Query(total(rate(f"{_DURATION}_sum"), *_BY), _LEGEND),),
            stacked=True,
        ),
        Panel(
            title="Slow operations",
            description="Statements in a second that took longer than `slow_query`. Those with the cause"
            " `event_loop` would not without the loop's lag.",
            unit="ops",
            queries=(
                Query(total(rate("db_client_slow_operations_total"), *_BY, "cause"), f"{_LEGEND} {{{{cause}}}}"),
            ),
        ),
        Panel(
            title="Rows",
            description="Rows in a second that statements return or change, where the driver knows.",
            unit="short",
            queries=(Query(total(rate(f"{_ROWS}_sum"), *_BY), _LEGEND),),
            stacked=True,
        ),
        Panel(
            title="Rows of a statement, p99",
            description="99 of 100 statements return or change no more rows than this, within the histogram's"
            " buckets.",
            unit="short",
            queries=(Query(quantile(0.99, _ROWS, by=_BY), _LEGEND),),
        ),
        Panel(
            title="Failed statements",
            description="By SQLSTATE, or what else the failure is called. Some are the callers' own: 23505 is a"
            " duplicate.",
            unit="ops",
            queries=(Query(total(rate(f"{_DURATION}_count", 'error_type!=""'), "error_type"), "{{error_type}}"),),
            width=12,
        ),
        Panel(
            title="Batches",
            description="Sets of parameters in a second that were given to the driver's executemany.",
            unit="ops",
            queries=(Query(total(rate("db_client_batch_size_sum"), *_BY), _LEGEND),),
            width=12,
        ),
    ),
)
