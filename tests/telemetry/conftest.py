"""A registry for each test, and what has been counted in it."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

Counts = dict[tuple[str, str, str], float]


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
