"""Keeping finished spans for assertions."""

from collections.abc import Iterator
from dataclasses import dataclass

from marketplace.v1 import user_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tablestakes.app import App
from tests.gadgets import gadget_pb2_grpc


@dataclass
class Spans:
    """The finished spans, and the provider that makes them."""

    exporter: InMemorySpanExporter
    provider: TracerProvider

    def __iter__(self) -> Iterator[ReadableSpan]:
        """Iterate over the spans in the order in which they ended."""
        return iter(self.exporter.get_finished_spans())

    def of(self, trace: str) -> list[ReadableSpan]:
        """Return the spans of a trace."""
        return [span for span in self if trace_of(span) == trace]


def trace_of(span: ReadableSpan) -> str:
    """Return the id of a span's trace, in hexadecimal."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    """Return the id of a span, in hexadecimal."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.span_id:016x}"


def recording() -> Spans:
    """Return a provider that keeps its spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(exporter, provider)


@dataclass
class Traced:
    """A server that makes spans, and the stubs of its services."""

    app: App
    spans: Spans
    users: "user_pb2_grpc.UserServiceAsyncStub"
    gadgets: "gadget_pb2_grpc.GadgetServiceStub"
