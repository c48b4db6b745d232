"""Errors: of the database, and of RPCs."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import FAULTS, METHOD, rate, total

_ERRORS = "db_client_errors_total"

ROW = Row(
    "Errors",
    (
        Panel(
            title="Database errors by phase and type",
            description="Each error once, by what was being done. The type is an SQLSTATE, SQLite's name,"
            " `cancelled`, `timeout` or an exception's class.",
            unit="ops",
            queries=(Query(total(rate(_ERRORS), "phase", "error_type"), "{{phase}} {{error_type}}"),),
            stacked=True,
            width=12,
        ),
        Panel(
            title="Lost connections",
            description="Errors that lost a connection, by phase.",
            unit="ops",
            queries=(Query(total(rate(_ERRORS, 'disconnect="true"'), "phase"), "{{phase}}"),),
            width=12,
        ),
        Panel(
            title="RPC faults by method and code",
            description="RPCs that failed by the service's fault.",
            unit="reqps",
            queries=(
                Query(
                    total(rate("grpc_server_handled_total", METHOD, FAULTS), "grpc_method", "grpc_code"),
                    "{{grpc_method}} {{grpc_code}}",
                ),
            ),
            stacked=True,
            width=12,
        ),
        Panel(
            title="RPC errors of callers by method and code",
            description="RPCs that were refused for what their callers sent or did.",
            unit="reqps",
            queries=(
                Query(
                    total(
                        rate("grpc_server_handled_total", METHOD, 'grpc_code!="OK"', FAULTS.replace("=~", "!~")),
                        *("grpc_method", "grpc_code"),
                    ),
                    "{{grpc_method}} {{grpc_code}}",
                ),
            ),
            stacked=True,
            width=12,
        ),
    ),
)
