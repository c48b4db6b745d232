"""The wrappers of a handler, composed."""

import grpc

from tablestakes.crud import Rpc
from tablestakes.database import Database
from tablestakes.edge.answer import answer
from tablestakes.edge.deadline import within_deadline
from tablestakes.edge.decode import decode
from tablestakes.edge.handler import RpcHandler
from tablestakes.edge.observe import observe
from tablestakes.edge.work import Work
from tablestakes.telemetry import RpcMetrics, Tracer


def wrap(
    rpc: Rpc,
    *,
    database: Database,
    work: Work,
    metrics: RpcMetrics,
    default_deadline: float,
    tracer: Tracer | None = None,
) -> RpcHandler:
    """Return the gRPC handler of an RPC, with all that surrounds it.

    It is done here, once for each RPC of the contract: grpc.aio runs a chain of interceptors anew for each call.

    Args:
        rpc: The RPC and what serves it.
        database: The database that it works on.
        work: Where its work is kept until it ends.
        metrics: Where it is counted.
        default_deadline: Seconds for callers that set no deadline.
        tracer: Makes a span of each call, None for none.
    """
    bounded = within_deadline(rpc.serve, database, work, default_deadline)
    spans = None if tracer is None else tracer.method(rpc.service, rpc.method)
    handler = observe(answer(decode(bounded, rpc), rpc), metrics.method(rpc.service, rpc.method), spans)
    # Neither parser nor serializer: bytes come in and go out, so that what is malformed is answered by us.
    return grpc.unary_unary_rpc_method_handler(handler)
