"""The contract suite itself: it leaves out nothing, here, of what it can say."""

import inspect

import pytest

from tablestakes.testing import contract
from tablestakes.testing.served import Served
from tests.contract import test_batches, test_reading, test_relations, test_schema, test_writing
from tests.contract.marketplace import SERVICE as MARKETPLACE
from tests.library import test_library_batches, test_library_reading, test_library_writing
from tests.library.service import SERVICE as LIBRARY

TESTS = [
    pytest.param(each, name, id=f"{each.__name__}.{name}")
    for each in (getattr(contract, found) for found in contract.__all__)
    for name, function in vars(each).items()
    if name.startswith("test_") and "contract" in inspect.signature(function).parameters
]


@pytest.mark.parametrize(("suite", "name"), TESTS)
def test_every_test_runs_for_some_resource(suite: type, name: str) -> None:
    """Each test of the suite has a resource of the marketplace or of the library that it runs for."""
    marks = [*suite.pytestmark, *getattr(getattr(suite, name), "pytestmark", [])]  # type: ignore[attr-defined]
    needed = {argument for mark in marks if mark.name in ("verbs", "traits") for argument in mark.args}
    behaviors = {argument for mark in marks if mark.name == "behaviors" for argument in mark.args}
    assert any(Served(service).matching(needed, behaviors) for service in (MARKETPLACE, LIBRARY))


def test_every_class_is_inherited() -> None:
    """Both services inherit every class of the suite, but the library those that none of its resources needs."""
    modules = (test_batches, test_reading, test_relations, test_schema, test_writing)
    marketplace = {name for module in modules for name in vars(module)}
    of_library = (test_library_batches, test_library_reading, test_library_writing)
    library = {name for module in of_library for name in vars(module)}
    assert set(contract.__all__) <= marketplace
    assert set(contract.__all__) - library == {"TestSingleton", "TestTransition", "TestView"}
