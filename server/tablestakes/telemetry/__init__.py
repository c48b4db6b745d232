"""Metrics and traces of database engines and of a gRPC server, for Prometheus and OpenTelemetry.

    from tablestakes.telemetry import RpcMetrics, instrument, new_registry, serve

    registry = new_registry({"version": "1.2.3"})
    instrument(engine, registry=registry)                  # statements, transactions, errors, the pool
    get_user = RpcMetrics(registry).method("marketplace.v1.UserService", "GetUser")
    server = serve("127.0.0.1", 9464, registry)            # http://127.0.0.1:9464/metrics

If the last argument is `Live("shop", "1.2.3", engines=[...], rpcs=...)`, made of the results of `instrument()` and
`RpcMetrics`, the server also has a page for people.

Around each RPC, call `get_user.started()`, `account = enter(get_user)`, and at its end `get_user.finish(account,
"OK")`. An engine that is made with `poolclass=AsyncTimedQueuePool` (or `TimedQueuePool`) also reports how long
checkouts wait, and `LoopLag(registry).start()` measures the event loop. If OpenTelemetry's environment variables
request traces, `open_tracer("shop", "1.2.3")` returns a tracer: `instrument(…, tracer=tracer)` and
`tracer.method(…)` then make spans, and the histograms of statements and RPCs have exemplars.

The package needs SQLAlchemy, prometheus-client, h11 and, for traces, OpenTelemetry. It imports nothing of this
service, so it can be copied into any other one. Listeners only count, in plain objects; prometheus-client gets
the numbers at each scrape. A failure of the instrumentation is counted in `instrumentation_errors_total`
and never reaches a query.
"""

from .account import RpcAccount, current_rpc
from .admission import AdmissionMetrics
from .authentication import AuthenticationMetrics, KeySetMetrics
from .certificate import CertificateMetrics
from .connections import ConnectionMetrics
from .engine.explain import Explainer
from .engine.go_sql import GoSqlMetrics
from .engine.instrument import Instrumentation, instrument
from .engine.waiting import AsyncTimedQueuePool, TimedQueuePool
from .lag import LoopLag
from .rpc.method import CODES, MethodMetrics, RpcMetrics, enter
from .show.access import Access
from .show.exposition import MetricsServer, expose_connection_budget, expose_schema_revision, new_registry, serve
from .show.live import Live
from .tracing import MethodSpans, Tracer, TracingError, open_tracer

__all__ = [
    "CODES",
    "Access",
    "AdmissionMetrics",
    "AsyncTimedQueuePool",
    "AuthenticationMetrics",
    "CertificateMetrics",
    "ConnectionMetrics",
    "Explainer",
    "GoSqlMetrics",
    "Instrumentation",
    "KeySetMetrics",
    "Live",
    "LoopLag",
    "MethodMetrics",
    "MethodSpans",
    "MetricsServer",
    "RpcAccount",
    "RpcMetrics",
    "TimedQueuePool",
    "Tracer",
    "TracingError",
    "current_rpc",
    "enter",
    "expose_connection_budget",
    "expose_schema_revision",
    "instrument",
    "new_registry",
    "open_tracer",
    "serve",
]
