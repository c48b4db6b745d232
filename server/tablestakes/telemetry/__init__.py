"""What a database engine and a gRPC server do, shown to Prometheus.

    from tablestakes.telemetry import RpcMetrics, instrument, new_registry, serve

    registry = new_registry({"version": "1.2.3"})
    instrument(engine, registry=registry)                  # statements, transactions, errors, the pool
    get_user = RpcMetrics(registry).method("marketplace.v1.UserService", "GetUser")
    server = serve("127.0.0.1", 9464, registry)            # http://127.0.0.1:9464/metrics

With `Live("shop", "1.2.3", engines=[...], rpcs=...)` for its last argument, of what `instrument()` and `RpcMetrics`
returned, the server also has a page to look at.

Around each RPC: `get_user.started()`, `account = enter(get_user)`, and in the end `get_user.finish(account, "OK")`.
An engine made with `poolclass=AsyncTimedQueuePool` (or `TimedQueuePool`) also tells how long checkouts wait, and
`LoopLag(registry).start()` measures the event loop. Where the environment asks for traces, by OpenTelemetry's
variables, `open_tracer("shop", "1.2.3")` returns a tracer: `instrument(…, tracer=tracer)` and `tracer.method(…)`
make spans, and the histograms of statements and RPCs have exemplars.

It needs SQLAlchemy, prometheus-client, for traces OpenTelemetry, and nothing of this service, so it can be lifted
into any other one.
Events only count, in plain objects; prometheus-client sees the numbers when a scrape asks for them. What
fails in here is counted in `instrumentation_errors_total` and never reaches a query.
"""

from .account import RpcAccount, current_rpc
from .engine.explain import Explainer
from .engine.instrument import Instrumentation, instrument
from .engine.waiting import AsyncTimedQueuePool, TimedQueuePool
from .lag import LoopLag
from .rpc.method import CODES, MethodMetrics, RpcMetrics, enter
from .show.exposition import MetricsServer, new_registry, serve
from .show.live import Live
from .tracing import MethodSpans, Tracer, TracingError, open_tracer

__all__ = [
    "CODES",
    "AsyncTimedQueuePool",
    "Explainer",
    "Instrumentation",
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
    "instrument",
    "new_registry",
    "open_tracer",
    "serve",
]
