"""What is written for Prometheus is what prometheus-client would have written, byte for byte."""

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


# Neither how long an example takes nor how long it takes to draw one says anything on a busy machine.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Families:
    """A registry of given families."""

    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self.families


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    """A family of any type, also with samples that its type does not have."""
    metric = Metric(draw(NAMES), draw(TEXTS), draw(TYPES))
    shared = draw(LABELS)
    for _ in range(draw(st.integers(0, 4))):
        suffix = draw(SUFFIXES)
        labels = draw(st.one_of(st.just(shared), LABELS))
        # Elsewhere the library refuses them.
        bears = (metric.type, suffix) in {("counter", "_total"), ("histogram", "_bucket")}
        exemplar = draw(st.one_of(st.none(), EXEMPLARS)) if bears else None
        timestamp = draw(st.one_of(st.none(), st.none(), st.floats(0, 2e9)))
        metric.add_sample(metric.name + suffix, labels, draw(st.floats()), timestamp, exemplar)
    return metric


def _openmetrics(*families: Metric) -> bytes:
    written: bytes = generate_openmetrics(Families(*families), version="1.0.0")  # type: ignore[no-untyped-call]
    return written


@untimed
@given(st.lists(metrics(), max_size=3))
def test_the_text_format_is_the_librarys(families: list[Metric]) -> None:
    """Whatever a collector yields, the text is the library's."""
    assert write_text(families) == generate_latest(Families(*families))


@untimed
@given(st.lists(metrics(), max_size=3))
def test_openmetrics_is_the_librarys(families: list[Metric]) -> None:
    """Whatever a collector yields, also with exemplars, the OpenMetrics text is the library's."""
    assert write_openmetrics(families) == _openmetrics(*families)


def test_the_families_of_a_service_are_the_librarys() -> None:
    """The usual families, and those of the process, are the library's."""
    labelled = GaugeMetricFamily("a_gauge", "Of \\ and\nlines.", labels=["b", "a"])
    labelled.add_metric(['say "no"', "back\\slash\n"], 1.5)
    labelled.add_metric(["plain", ""], float("inf"))
    counter = CounterMetricFamily("a_counter", "Counts.", value=3)
    histogram = HistogramMetricFamily("a_histogram_seconds", "Counts.", labels=["x"], unit="seconds")
    histogram.add_metric(["1"], [("0.1", 2.0, Exemplar({"trace_id": "abc"}, 0.05, 1.7e9)), ("+Inf", 3.0)], 12.5)
    still = [labelled, counter, histogram]
    # What the process says changes by itself; what it said once does not.
    still += list(new_registry({"version": "1"}).collect())
    assert write_text(still) == generate_latest(Families(*still))
    assert write_openmetrics(still) == _openmetrics(*still)


def test_an_empty_registry_is_written() -> None:
    """Nothing is no text, and in OpenMetrics its end."""
    assert write_text(CollectorRegistry().collect()) == b""
    assert write_openmetrics(CollectorRegistry().collect()) == b"# EOF\n"
