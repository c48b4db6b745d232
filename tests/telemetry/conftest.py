"""A registry for each test, and what has been counted in it."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

Counts = dict[tuple[str, str, str], float]
Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry that nothing else uses."""
    return CollectorRegistry()


@pytest.fixture
def counts(registry: CollectorRegistry) -> Callable[[], Counts]:
    """Ask how many statements were timed, by operation, collection and error type."""

    def ask() -> Counts:
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

    return ask


@pytest.fixture
def total(registry: CollectorRegistry) -> Total:
    """Ask for the sum of the samples of a name that have these labels, among others."""

    def ask(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    return ask


@pytest.fixture
def by(registry: CollectorRegistry) -> By:
    """Ask for the samples of a name that are not zero, by the values of some labels."""

    def ask(name: str, *labels: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    return ask
