"""What a service shows on /metrics, as a scraper reads it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tablestakes.app import App

Sums = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Reading:
    """The samples of a scrape.

    Attributes:
        samples: All of them.
    """

    samples: Sequence[Sample]

    def by(self, name: str, *labels: str, **having: str) -> Sums:
        """Return the sums of the samples of a name that have some labels, by the values of others."""
        sums: Sums = {}
        for sample in self.samples:
            if sample.name == name and having.items() <= sample.labels.items():
                key = tuple(sample.labels[label] for label in labels)
                sums[key] = sums.get(key, 0.0) + sample.value
        return sums

    def total(self, name: str, **having: str) -> float:
        """Return the sum of the samples of a name that have some labels."""
        return sum(self.by(name, **having).values())


@dataclass(frozen=True)
class Growth:
    """What a service's metrics have grown by.

    Attributes:
        first: What they were at first.
        last: What they are.
    """

    first: Reading
    last: Reading

    def by(self, name: str, *labels: str, **having: str) -> Sums:
        """Return by how much the sums have grown, without those that have not."""
        first = self.first.by(name, *labels, **having)
        last = self.last.by(name, *labels, **having)
        return {key: value - first.get(key, 0.0) for key, value in last.items() if value != first.get(key, 0.0)}

    def total(self, name: str, **having: str) -> float:
        """Return by how much the sum has grown."""
        return self.last.total(name, **having) - self.first.total(name, **having)


async def scrape(app: App) -> Reading:
    """Read a service's metrics over HTTP."""

    def get() -> str:
        with urlopen(f"http://{app.metrics_address}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    text = await asyncio.to_thread(get)
    return Reading([sample for family in text_string_to_metric_families(text) for sample in family.samples])
