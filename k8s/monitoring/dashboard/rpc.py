"""Rate, errors and duration of RPCs, by method."""

from k8s.monitoring.dashboard.panel import Panel, Query, Row
from k8s.monitoring.dashboard.promql import FAULTS, JOB, METHOD, quantile, rate, select, total

_BY = ("grpc_method",)
_HANDLED, _HANDLING = "grpc_server_handled_total", "grpc_server_handling_seconds"
_RATIOS = {
    "availability": "namespace_job:grpc_server_handled:fault_ratio_rate",
    "latency": "namespace_job:grpc_server_handling_seconds:slow_ratio_rate",
}
# The error budgets of the objectives in rules/slo.yaml: a ratio divided by one is a burn rate.
_BUDGETS = {"availability": 0.001, "latency": 0.01}


def _burn(objective: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"{_RATIOS[objective]}{window}{{{', '.join(JOB)}}} / {_BUDGETS[objective]}", f"{{{{job}}}} {window}")
        for window in ("5m", "1h", "6h", "3d")
    )


ROW = Row(
    "RPCs: rate, errors, duration",
    (
        Panel(
            title="Rate by method",
            description="RPCs that ended in a second, whatever their code.",
            unit="reqps",
            queries=(Query(total(rate(_HANDLED, METHOD), *_BY), "{{grpc_method}}"),),
            stacked=True,
        ),
        Panel(
            title="Errors by code",
            description="RPCs that did not end with OK. NotFound, InvalidArgument and the like"
            " are the callers' own.",
            unit="reqps",
            queries=(Query(total(rate(_HANDLED, METHOD, 'grpc_code!="OK"'), "grpc_code"), "{{grpc_code}}"),),
            stacked=True,
        ),
        Panel(
            title="Faults by method",
            description="The share of RPCs that failed by the service's fault: Unknown, Internal, Unavailable,"
            " DataLoss, DeadlineExceeded.",
            unit="percentunit",
            queries=(
                Query(
                    f"{total(rate(_HANDLED, METHOD, FAULTS), *_BY)} / {total(rate(_HANDLED, METHOD), *_BY)}",
                    "{{grpc_method}}",
                ),
            ),
            top=1,
        ),
        Panel(
            title="p50 by method",
            description="Half of the RPCs take less than this.",
            unit="s",
            queries=(Query(quantile(0.5, _HANDLING, METHOD, by=_BY), "{{grpc_method}}"),),
        ),
        Panel(
            title="p99 by method",
            description="99 of 100 RPCs take less than this, also those whose caller left.",
            unit="s",
            queries=(Query(quantile(0.99, _HANDLING, METHOD, by=_BY), "{{grpc_method}}"),),
        ),
        Panel(
            title="In flight",
            description="RPCs that have started and not ended.",
            unit="short",
            queries=(Query(total(select("grpc_server_in_flight", METHOD), *_BY), "{{grpc_method}}"),),
            stacked=True,
        ),
        Panel(
            title="Response bytes",
            description="Bytes in a second that are sent in responses, before compression.",
            unit="Bps",
            queries=(Query(total(rate("grpc_server_msg_sent_bytes_sum", METHOD), *_BY), "{{grpc_method}}"),),
            stacked=True,
            width=12,
        ),
        Panel(
            title="Response size p99",
            description="99 of 100 responses are smaller than this.",
            unit="bytes",
            queries=(Query(quantile(0.99, "grpc_server_msg_sent_bytes", METHOD, by=_BY), "{{grpc_method}}"),),
            width=12,
        ),
        Panel(
            title="Burn of the availability budget",
            description="Faults as a multiple of what 99.9 % availability allows, over four windows. At 1"
            " the budget lasts as long as its 30 days; 14.4 over an hour spends a fiftieth of it.",
            unit="short",
            queries=_burn("availability"),
            width=12,
        ),
        Panel(
            title="Burn of the latency budget",
            description="RPCs above 250 ms as a multiple of the 1 % that may be, over four windows.",
            unit="short",
            queries=_burn("latency"),
            width=12,
        ),
    ),
)
