"""The fixtures of the engine's own test plugin: real databases, and the service running on each of them."""

import os
from zlib import crc32

import pytest

# Hundreds of tests start a process of the service, and each would compile all its imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["tablestakes.testing.plugin"]

# Few tests of minutes, not of seconds: begun last, they would keep one core waiting for the other.
LONGEST = {"test_wheel.py"}

# Resources of the marketplace of whose kind there is another: a tag is like a product, an address like a comment.
LIKE_OTHERS = {"Address", "Order", "Product", "Tag", "Transfer", "Wallet"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; `--no-loadscope-reorder` keeps the order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Run a test of the contract on one of the databases, and on the other in the long run, for some resources.

    Those of the library show that the engine serves another domain; of the marketplace's, those are left out that
    are like another one. For one of each kind every test is run on both databases.
    """
    from tablestakes.testing.plugin import DATABASES  # noqa: PLC0415 - pytest has loaded it by now

    parameters = getattr(getattr(item, "callspec", None), "params", {})
    database, resource = parameters.get("app"), parameters.get("resource_name")
    if database is None or resource is None:
        return
    if item.path.parent.name != "library" and resource.rpartition(".")[2] not in LIKE_OTHERS:
        return
    test = item.nodeid.replace(str(database), "")
    if DATABASES.index(database) != crc32(test.encode()) % len(DATABASES):
        item.add_marker(pytest.mark.long)
