"""A scrape of a service that runs, as Prometheus makes it."""

import asyncio
import http.client
import re
from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from server.app import App

_NAME = re.compile(r"[\w:]*")
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scrape:
    """What one scrape brought.

    Attributes:
        samples: Values by name and sorted labels.
    """

    samples: Mapping[tuple[str, Labels], float]

    def labels(self) -> dict[str, dict[str, set[str]]]:
        """Return what was exposed: the values of each label of each metric."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for name, labels in self.samples:
            values = found[name]
            for label, value in labels:
                values[label].add(value)
        return found


async def scrape(app: App, only: Container[str] | None = None) -> Scrape:
    """Scrape a service.

    Args:
        app: The service.
        only: The metrics to read of what it exposes; reading all of it takes a tenth of a second.
    """
    text = await asyncio.to_thread(_get, app.metrics_address)
    if only is not None:
        text = "".join(line for line in text.splitlines(keepends=True) if _name(line) in only)
    return Scrape(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


def _get(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _name(line: str) -> str:
    """Return the metric of a line of the exposition; a comment is of none."""
    found = _NAME.match(line)
    return found[0] if found else ""
