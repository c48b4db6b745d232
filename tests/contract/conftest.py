"""Every resource that has the methods which a test needs, on every database."""

from typing import Any

import grpc
import pytest

from tests.contract.resource import SERVED, Contract, fields_with, methods_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each resource that has the methods and the fields which its marks name."""
    if "contract" in metafunc.fixturenames:
        verbs, behaviors = _marked(metafunc, "verbs"), _marked(metafunc, "behaviors")
        served = [
            name
            for name, resource in SERVED.items()
            if verbs <= methods_of(resource).keys() and all(fields_with(resource, each) for each in behaviors)
        ]
        metafunc.parametrize("resource_name", served, scope="session")


def _marked(metafunc: pytest.Metafunc, name: str) -> set[Any]:
    mark = metafunc.definition.get_closest_marker(name)
    return set(mark.args) if mark else set()


@pytest.fixture
def contract(resource_name: str, channel: grpc.aio.Channel) -> Contract:
    """One resource, on a server."""
    return Contract(SERVED[resource_name], channel)
