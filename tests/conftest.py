"""The fixtures of the engine's own test plugin: real databases, and the service running on each of them."""

import os
from zlib import crc32

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


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Run each test of the library's contract on one of the databases, and on the other in the long run.

    The library shows that the engine serves another domain, and the marketplace's contract runs on both.
    """
    if item.path.parent.name != "library" or "contract" not in getattr(item, "fixturenames", ()):
        return
    from tablestakes.testing.plugin import DATABASES  # noqa: PLC0415 - pytest has loaded it by now

    database = item.callspec.params.get("app")  # type: ignore[attr-defined]
    test = item.nodeid.replace(str(database), "")
    if DATABASES.index(database) != crc32(test.encode()) % len(DATABASES):
        item.add_marker(pytest.mark.long)
