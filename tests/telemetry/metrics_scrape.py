"""Scraping /metrics of a service, and comparing two scrapes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tablestakes.app import App

Sums = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Scrape:
    """The samples of a scrape.

    Attributes:
        samples: All samples.
    """

    samples: Sequence[Sample]

    def by(self, name: str, *labels: str, **having: str) -> Sums:
        """Return the sums of the samples with a name and with the labels `having`, by the values of `labels`."""
        sums: Sums = {}
        for sample in self.samples:
            if sample.name == name and having.items() <= sample.labels.items():
                key = tuple(sample.labels[label] for label in labels)
                sums[key] = sums.get(key, 0.0) + sample.value
        return sums

    def total(self, name: str, **having: str) -> float:
        """Return the sum of the samples with a name and with the labels `having`."""
        return sum(self.by(name, **having).values())


@dataclass(frozen=True)
class Growth:
    """The differences between two scrapes of a service.

    Attributes:
        first: The earlier scrape.
        last: The later scrape.
    """

    first: Scrape
    last: Scrape

    def by(self, name: str, *labels: str, **having: str) -> Sums:
        """Return the growth of the sums, without those that have not grown."""
        first = self.first.by(name, *labels, **having)
        last = self.last.by(name, *labels, **having)
        return {key: value - first.get(key, 0.0) for key, value in last.items() if value != first.get(key, 0.0)}

    def total(self, name: str, **having: str) -> float:
        """Return the growth of the sum."""
        return self.last.total(name, **having) - self.first.total(name, **having)


async def scrape(app: App) -> Scrape:
    """Scrape the metrics of a service over HTTP."""

    def get() -> str:
        with urlopen(f"http://{app.metrics_address}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    text = await asyncio.to_thread(get)
    return Scrape([sample for family in text_string_to_metric_families(text) for sample in family.samples])
