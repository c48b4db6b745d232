"""The provider that the environment describes, by the variables that OpenTelemetry defines for every language."""

import os
from importlib.metadata import entry_points

from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ..tracing import TracingError
from .tracer import OtelTracer

# Where exporters announce themselves, by the names of the variable.
GROUP = "opentelemetry_traces_exporter"
PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def provide(service: str, version: str) -> OtelTracer:
    """Return a tracer that samples and exports as the environment says.

    The SDK reads most of it by itself: OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*,
    OTEL_EXPORTER_OTLP_*, the limits. What is read here is which exporters there are, and what the SDK would have no
    good default for.

    Args:
        service: `service.name`, where the environment says nothing else.
        version: `service.version`, likewise.

    Raises:
        TracingError: There is no such exporter, or it cannot be made as the environment says.
    """
    given = OTELResourceDetector().detect().attributes
    own = {SERVICE_NAME: service, SERVICE_VERSION: version}
    resource = Resource.create({key: value for key, value in own.items() if key not in given})
    # Who opened it closes it, and says for how long that may take: not the SDK, when the interpreter exits.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in _names():
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    # Baggage, which the default of OTEL_PROPAGATORS has too, would be read for nobody.
    return OtelTracer(provider, get_global_textmap() if os.environ.get("OTEL_PROPAGATORS") else None)


def _names() -> list[str]:
    given = os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")
    return [name.strip() for name in given if name.strip()] or ["otlp"]


def _exporter(name: str) -> SpanExporter:
    variable, wanted = "OTEL_TRACES_EXPORTER", name
    if name == "otlp":
        variable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        if not os.environ.get(variable):
            variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
        wanted = os.environ.get(variable) or "grpc"
        name = PROTOCOLS.get(wanted, wanted)
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise TracingError(f"{variable}: there is no exporter for {wanted!r}, or it is not installed")
    try:
        exporter: SpanExporter = found.load()()
    except Exception as error:  # noqa: BLE001 - it reads variables of its own, and says each in its own way
        reason = str(error).partition("\n")[0]
        raise TracingError(f"the exporter for {wanted!r} cannot be made: {reason}") from None
    return exporter
