"""The text formats are byte for byte what prometheus-client writes."""

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Exemplar

from tablestakes.telemetry import new_registry
from tablestakes.telemetry.show.text import write_openmetrics, write_text

TEXTS = st.text('aB1_ é漢"\\\n%{}=,#', max_size=8)
NAMES = st.from_regex(r"[a-z_:][a-z0-9_:]{0,8}", fullmatch=True)
LABELS = st.dictionaries(
    st.one_of(st.from_regex(r"[a-z_][a-z0-9_]{0,4}", fullmatch=True), TEXTS.filter(bool)),
    TEXTS,
    max_size=4,
)
TYPES = st.sampled_from(
    ("counter", "gauge", "histogram", "unknown", "summary", "info", "stateset", "gaugehistogram")
)
SUFFIXES = st.sampled_from(("", "_total", "_bucket", "_sum", "_count", "_created", "_gsum", "_gcount"))
EXEMPLARS = st.builds(
    Exemplar,
    st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), TEXTS, max_size=2),
    st.floats(allow_nan=False),
    st.one_of(st.none(), st.floats(0, 2e9)),
)


# On a busy machine, the time to draw or to run an example means nothing.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Families:
    """A registry with the given families."""

    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield from self.families


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    """A family of any type, also with samples that do not belong to its type."""
    metric = Metric(draw(NAMES), draw(TEXTS), draw(TYPES))
    shared = draw(LABELS)
    for _ in range(draw(st.integers(0, 4))):
        suffix = draw(SUFFIXES)
        labels = draw(st.one_of(st.just(shared), LABELS))
        # The library refuses exemplars on other samples.
        has_exemplar = (metric.type, suffix) in {("counter", "_total"), ("histogram", "_bucket")}
        exemplar = draw(st.one_of(st.none(), EXEMPLARS)) if has_exemplar else None
        timestamp = draw(st.one_of(st.none(), st.none(), st.floats(0, 2e9)))
        metric.add_sample(metric.name + suffix, labels, draw(st.floats()), timestamp, exemplar)
    return metric


def _openmetrics(*families: Metric) -> bytes:
    written: bytes = generate_openmetrics(Families(*families), version="1.0.0")  # type: ignore[no-untyped-call]
    return written


@untimed
@given(st.lists(metrics(), max_size=3))
def test_the_text_format_is_the_librarys(families: list[Metric]) -> None:
    """The text of any families is the library's."""
    assert write_text(families) == generate_latest(Families(*families))


@untimed
@given(st.lists(metrics(), max_size=3))
def test_openmetrics_is_the_librarys(families: list[Metric]) -> None:
    """The OpenMetrics text of any families, also with exemplars, is the library's."""
    assert write_openmetrics(families) == _openmetrics(*families)


def test_the_families_of_a_service_are_the_librarys() -> None:
    """The text of usual families and of the process metrics is the library's."""
    labelled = GaugeMetricFamily("a_gauge", "Of \\ and\nlines.", labels=["b", "a"])
    labelled.add_metric(['say "no"', "back\\slash\n"], 1.5)
    labelled.add_metric(["plain", ""], float("inf"))
    counter = CounterMetricFamily("a_counter", "Counts.", value=3)
    histogram = HistogramMetricFamily("a_histogram_seconds", "Counts.", labels=["x"], unit="seconds")
    histogram.add_metric(["1"], [("0.1", 2.0, Exemplar({"trace_id": "abc"}, 0.05, 1.7e9)), ("+Inf", 3.0)], 12.5)
    collected = [labelled, counter, histogram]
    # The process metrics change by themselves, so they are collected once.
    collected += list(new_registry({"version": "1"}).collect())
    assert write_text(collected) == generate_latest(Families(*collected))
    assert write_openmetrics(collected) == _openmetrics(*collected)


def test_an_empty_registry_is_written() -> None:
    """An empty registry is an empty text, and in OpenMetrics only the end marker."""
    assert write_text(CollectorRegistry().collect()) == b""
    assert write_openmetrics(CollectorRegistry().collect()) == b"# EOF\n"
