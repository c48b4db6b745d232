"""A collector that receives spans by OTLP over gRPC and keeps them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """The received spans, and the endpoint to send them to."""

    endpoint: str = ""
    received: list[ResourceSpans] = field(default_factory=list)

    async def Export(  # noqa: N802 - gRPC's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, _: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep the spans of a request."""
        self.received += request.resource_spans
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> Iterator[Span]:
        """The spans in the order in which they were received."""
        for resource in self.received:
            for scope in resource.scope_spans:
                yield from scope.spans

    @property
    def resource(self) -> dict[str, str]:
        """The attributes of the program that sent them."""
        return {pair.key: pair.value.string_value for pair in self.received[0].resource.attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector."""
    server, collector = grpc.aio.server(), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        collector, server
    )
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
