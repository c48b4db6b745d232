"""Transactions, and what ending them costs."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import quantile, rate, total

_LASTED = "db_client_transaction_seconds"

ROW = Row(
    "Transactions",
    (
        Panel(
            title="Rate",
            description="Transactions in a second, by how they ended. A statement in autocommit is none.",
            unit="ops",
            queries=(Query(total(rate(f"{_LASTED}_count"), "outcome"), "{{outcome}}"),),
            stacked=True,
            width=6,
        ),
        Panel(
            title="Duration p99",
            description="From begin until committed or rolled back: how long locks are held.",
            unit="s",
            queries=(Query(quantile(0.99, _LASTED, by=("outcome",)), "{{outcome}}"),),
            width=6,
        ),
        Panel(
            title="COMMIT p99",
            description="The time of COMMIT, by how it ended: what the disk and the replicas of the database take.",
            unit="s",
            queries=(Query(quantile(0.99, "db_client_commit_seconds", by=("outcome",)), "{{outcome}}"),),
            width=6,
        ),
        Panel(
            title="ROLLBACK p99",
            description="The time of ROLLBACK, by how it ended.",
            unit="s",
            queries=(Query(quantile(0.99, "db_client_rollback_seconds", by=("outcome",)), "{{outcome}}"),),
            width=6,
        ),
    ),
)
