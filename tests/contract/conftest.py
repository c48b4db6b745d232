"""Every resource that has the methods which a test needs, on every database."""

import grpc
import pytest

from tests.contract.resource import SERVED, Contract, methods_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each resource with the verbs that its `verbs` mark names."""
    if "contract" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("verbs")
        needed = set(mark.args) if mark else set()
        served = [name for name, resource in SERVED.items() if needed <= methods_of(resource).keys()]
        metafunc.parametrize("resource_name", served, scope="session")


@pytest.fixture
def contract(resource_name: str, channel: grpc.aio.Channel) -> Contract:
    """One resource, on a server."""
    return Contract(SERVED[resource_name], channel)
