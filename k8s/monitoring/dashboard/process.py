"""The process: its event loop, what it uses of the machine, and what it is."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import quantile, rate, select

_LAG = "event_loop_lag_seconds"

ROW = Row(
    "The process",
    (
        Panel(
            title="Event loop lag",
            description="How late callbacks are that are due. Every other duration contains such waits: if this is"
            " high, it is not the database that is slow.",
            unit="s",
            queries=(
                Query(quantile(0.5, _LAG, by=("instance",)), "{{instance}} p50"),
                Query(quantile(0.99, _LAG, by=("instance",)), "{{instance}} p99"),
            ),
        ),
        Panel(
            title="CPU",
            description="Cores used. The event loop has one of them: near 1 it is full.",
            unit="short",
            queries=(Query(rate("process_cpu_seconds_total"), "{{instance}}"),),
        ),
        Panel(
            title="Memory",
            description="Resident memory.",
            unit="bytes",
            queries=(Query(select("process_resident_memory_bytes"), "{{instance}}"),),
        ),
        Panel(
            title="Open files",
            description="File descriptors in use, and how many there may be.",
            unit="short",
            queries=(
                Query(select("process_open_fds"), "{{instance}}"),
                Query(f"min({select('process_max_fds')})", "may be"),
            ),
        ),
        Panel(
            title="Uptime",
            description="Since the process started.",
            unit="s",
            queries=(Query(f"time() - {select('process_start_time_seconds')}", "{{instance}}"),),
        ),
        Panel(
            title="Instrumentation errors",
            description="Listeners of the telemetry that failed, since the process started. They fail no statement,"
            " but what they should have counted is missing here.",
            unit="short",
            queries=(Query(select("instrumentation_errors_total"), "{{instance}}"),),
            red_from=1,
        ),
        Panel(
            title="What is running",
            description="Versions of the service and of what it stands on.",
            unit="short",
            queries=(
                Query(f"count by (instance, version, grpcio, sqlalchemy) ({select('tablestakes_build_info')})", ""),
            ),
            kind="table",
            width=24,
        ),
    ),
)
