"""The fixtures of the engine's own test plugin: real databases, and the service running on each of them."""

import os

import pytest

# Hundreds of tests start a process of the service, and each would compile all its imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["tablestakes.testing.plugin"]

# Few tests of minutes, not of seconds: begun last, they would keep one core waiting for the other.
LONGEST = {"test_wheel.py"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; `--no-loadscope-reorder` keeps the order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
