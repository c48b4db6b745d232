"""A scrape of a service that runs, as Prometheus makes it."""

import asyncio
import http.client
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from tablestakes.app import App
from tests.process import HANGS


async def scrape(app: App) -> str:
    """Return the metrics that a service exposes now, in the Prometheus text format."""
    return await asyncio.to_thread(_get, app.metrics_address)


def labels_of(exposition: str) -> dict[str, dict[str, set[str]]]:
    """Return the labels of each exposed metric, and the values of each label."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            values = found[sample.name]
            for label, value in sample.labels.items():
                values[label].add(value)
    return found


def _get(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=HANGS)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
