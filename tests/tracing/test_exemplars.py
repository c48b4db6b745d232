"""The buckets of histograms have exemplars, which point to spans."""

import asyncio
import time
import urllib.request
from collections.abc import Iterator

import pytest
from marketplace.v1 import user_pb2
from opentelemetry.trace import SpanKind
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tablestakes.telemetry.meter.histogram import Histogram
from tests.tracing.recorded_spans import Traced, id_of, trace_of
from tests.tracing.trace_context import Caller

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SHOWN = {"db_client_operation_duration_seconds_bucket", "grpc_server_handling_seconds_bucket"}


async def scrape(traced: Traced, accept: str) -> str:
    """Return a scrape in the format that the scraper accepts."""
    request = urllib.request.Request(f"http://{traced.app.metrics_address}/metrics", headers={"Accept": accept})

    def read() -> str:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
            body: bytes = response.read()
            return body.decode()

    return await asyncio.to_thread(read)


def exemplars(text: str) -> Iterator[Sample]:
    """Parse a scrape, and yield the samples that have an exemplar."""
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        yield from (sample for sample in family.samples if sample.exemplar)


async def test_exemplars_point_to_spans(traced: Traced) -> None:
    """Statements and RPCs have exemplars of exported spans, in the buckets of their values."""
    caller, start = Caller(), time.time()
    await traced.users.ListUsers(user_pb2.ListUsersRequest(page_size=3), metadata=caller.metadata)
    made, end = {id_of(span): span for span in traced.spans}, time.time()
    ours = [
        sample
        for sample in exemplars(await scrape(traced, OPENMETRICS))
        if sample.exemplar and sample.exemplar.labels["trace_id"] == caller.trace
    ]
    assert {sample.name for sample in ours} == SHOWN
    for sample in ours:
        assert sample.exemplar is not None
        span = made[sample.exemplar.labels["span_id"]]
        assert trace_of(span) == caller.trace
        named = sample.labels.get("grpc_method") or sample.labels["db_operation_name"]
        assert named in span.name
        assert span.start_time is not None
        assert span.end_time is not None
        assert sample.exemplar.value <= float(sample.labels["le"])
        duration = (span.end_time - span.start_time) / 1e9
        if span.kind is SpanKind.SERVER:
            # The span of an RPC begins before its clock and ends after it.
            assert 0 < sample.exemplar.value < duration + 0.001
        else:
            assert sample.exemplar.value == pytest.approx(duration, abs=1e-6)
        assert sample.exemplar.timestamp is not None
        assert start - 0.001 <= float(sample.exemplar.timestamp) <= end + 0.001


async def test_an_unsampled_trace_is_no_exemplar(traced: Traced) -> None:
    """No exemplar points to a trace that is not sampled."""
    caller = Caller(sampled=False)
    await traced.users.ListUsers(user_pb2.ListUsersRequest(page_size=3), metadata=caller.metadata)
    assert caller.trace not in await scrape(traced, OPENMETRICS)


async def test_the_text_format_has_none(traced: Traced) -> None:
    """A scrape in the text format 0.0.4, which has no exemplars, has none."""
    caller = Caller()
    await traced.users.ListUsers(user_pb2.ListUsersRequest(page_size=3), metadata=caller.metadata)
    text = await scrape(traced, "text/plain; version=0.0.4")
    assert "grpc_server_handling_seconds_bucket" in text
    assert "trace_id" not in text


def test_a_bucket_keeps_its_last_exemplar() -> None:
    """Each bucket has the last exemplar of its values, with the value, or none."""
    histogram = Histogram((1.0, 2.0))
    for value, trace in ((0.5, "a"), (0.25, "b"), (0.75, None), (9.0, "c")):
        histogram.observe(value)
        if trace is not None:
            histogram.mark(value, {"trace_id": trace})
    family = HistogramMetricFamily("seconds", "Seconds.")
    histogram.expose(family, ())
    shown = {sample.labels["le"]: sample for sample in family.samples if sample.name == "seconds_bucket"}
    assert [sample.value for sample in shown.values()] == [3, 3, 4]
    kept = {bound: sample.exemplar for bound, sample in shown.items()}
    exposed = {bound: each and (each.labels, each.value) for bound, each in kept.items()}
    assert exposed == {"1.0": ({"trace_id": "b"}, 0.25), "2.0": None, "+Inf": ({"trace_id": "c"}, 9.0)}
