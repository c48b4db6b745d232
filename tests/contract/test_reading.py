"""The engine's contract of reading, for the marketplace."""

from tablestakes.testing.contract import (
    TestFilter,
    TestGet,
    TestList,
    TestOrder,
    TestParent,
    TestStatements,
    TestView,
)
from tests.contract.marketplace import PREPARATIONS, SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "PREPARATIONS",
    "SERVICE",
    "TestFilter",
    "TestGet",
    "TestList",
    "TestOrder",
    "TestParent",
    "TestStatements",
    "TestView",
]
