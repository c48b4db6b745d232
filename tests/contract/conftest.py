"""Every resource that has what a test needs, on every database."""

from typing import Any

import grpc
import pytest

from tests.contract.resource import SERVED, Contract, fields_with, traits_of


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark that only these tests have."""
    config.addinivalue_line("markers", "traits(*names): what else a resource must have, as `traits_of` names it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each resource that has the methods, the traits and the fields which its marks name."""
    if "contract" in metafunc.fixturenames:
        needed = _marked(metafunc, "verbs") | _marked(metafunc, "traits")
        behaviors = _marked(metafunc, "behaviors")
        served = [
            name
            for name, resource in SERVED.items()
            if needed <= traits_of(resource) and all(fields_with(resource, each) for each in behaviors)
        ]
        assert served, f"{metafunc.definition.name} would never run"
        metafunc.parametrize("resource_name", served, scope="session")


def _marked(metafunc: pytest.Metafunc, name: str) -> set[Any]:
    return {argument for mark in metafunc.definition.iter_markers(name) for argument in mark.args}


@pytest.fixture
async def contract(resource_name: str, channel: grpc.aio.Channel) -> Contract:
    """One resource, on a server, below a parent of this test's own where it has one."""
    found = Contract(SERVED[resource_name], channel)
    if "parent" not in traits_of(found.resource):
        return found
    return found.of(found.resource, await found.new_parent())
