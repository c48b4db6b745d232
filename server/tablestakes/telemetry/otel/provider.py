"""Making a tracer from the environment variables that OpenTelemetry defines for every language."""

import os
from importlib.metadata import entry_points

from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ..tracing import TracingError
from .tracer import OtelTracer

# The entry-point group of exporters, by the names that OTEL_TRACES_EXPORTER uses.
GROUP = "opentelemetry_traces_exporter"
PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def tracer_from_environment(service: str, version: str) -> OtelTracer:
    """Return a tracer that samples and exports as the environment says.

    The SDK itself reads most variables: OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*,
    OTEL_EXPORTER_OTLP_* and the limits. This function reads the names of the exporters, and the variables for which
    the SDK has no good default.

    Args:
        service: `service.name`, unless the environment has another.
        version: `service.version`, unless the environment has another.

    Raises:
        TracingError: There is no such exporter, or it cannot be made with these variables.
    """
    from_environment = OTELResourceDetector().detect().attributes
    defaults = {SERVICE_NAME: service, SERVICE_VERSION: version}
    resource = Resource.create({key: value for key, value in defaults.items() if key not in from_environment})
    # The caller closes the tracer with a time limit; the SDK must not do it when the interpreter exits.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in _exporter_names():
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    # Without OTEL_PROPAGATORS only trace context is read: the default would also read baggage, which nothing here
    # uses.
    return OtelTracer(provider, get_global_textmap() if os.environ.get("OTEL_PROPAGATORS") else None)


def _exporter_names() -> list[str]:
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")
    return [name.strip() for name in names if name.strip()] or ["otlp"]


def _exporter(name: str) -> SpanExporter:
    variable, wanted = "OTEL_TRACES_EXPORTER", name
    if name == "otlp":
        variable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        if not os.environ.get(variable):
            variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
        wanted = os.environ.get(variable) or "grpc"
        name = PROTOCOLS.get(wanted, wanted)
    entry_point = next(iter(entry_points(group=GROUP, name=name)), None)
    if entry_point is None:
        raise TracingError(f"{variable}: there is no exporter for {wanted!r}, or it is not installed")
    try:
        exporter: SpanExporter = entry_point.load()()
    except Exception as error:  # noqa: BLE001 - an exporter reads its own variables and may raise anything
        reason = str(error).partition("\n")[0]
        raise TracingError(f"the exporter for {wanted!r} cannot be made: {reason}") from None
    return exporter
