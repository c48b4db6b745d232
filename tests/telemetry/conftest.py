"""A metrics registry for each test, and functions that read it."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

Counts = dict[tuple[str, str, str], float]
Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry for one test only."""
    return CollectorRegistry()


@pytest.fixture
def counts(registry: CollectorRegistry) -> Callable[[], Counts]:
    """A function that returns the number of timed statements by operation, collection and error type."""

    def read() -> Counts:
        return {
            (
                sample.labels["db_operation_name"],
                sample.labels["db_collection_name"],
                sample.labels["error_type"],
            ): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "db_client_operation_duration_seconds_count"
        }

    return read


@pytest.fixture
def total(registry: CollectorRegistry) -> Total:
    """A function that returns the sum of the samples with a name and with the given labels."""

    def read(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    return read


@pytest.fixture
def by(registry: CollectorRegistry) -> By:
    """A function that returns the nonzero samples with a name, by the values of some labels."""

    def read(name: str, *labels: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    return read
