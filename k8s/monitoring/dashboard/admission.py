"""Admission: the calls in progress and their limit, those that wait and those that are turned away."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import rate, select, total

ROW = Row(
    "Admission: in progress, waiting, turned away",
    (
        Panel(
            title="In progress and limit",
            description="Calls in progress, those included whose caller has left, and how many there may be.",
            unit="short",
            queries=(
                Query(select("admission_in_progress"), "{{instance}} in progress"),
                Query(select("admission_limit"), "{{instance}} limit"),
            ),
        ),
        Panel(
            title="Turned away",
            description="Calls in a second that were refused before they began, by priority and reason: limit,"
            " deadline, late, displaced, rate.",
            unit="reqps",
            queries=(
                Query(total(rate("admission_refused_total"), "priority", "reason"), "{{priority}} {{reason}}"),
            ),
            stacked=True,
        ),
        Panel(
            title="Waiting",
            description="Calls that wait to begin.",
            unit="short",
            queries=(Query(total(select("admission_queued"), "priority"), "{{priority}}"),),
            stacked=True,
        ),
    ),
)
