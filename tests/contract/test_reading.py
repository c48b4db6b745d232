"""The engine's contract of reading, for the marketplace."""

from tablestakes.testing.contract import (
    TestBatchGet,
    TestExport,
    TestFilter,
    TestGet,
    TestList,
    TestOrder,
    TestParent,
    TestReadMask,
    TestStatements,
    TestView,
)
from tests.contract.marketplace import PREPARATIONS, SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "PREPARATIONS",
    "SERVICE",
    "TestBatchGet",
    "TestExport",
    "TestFilter",
    "TestGet",
    "TestList",
    "TestOrder",
    "TestParent",
    "TestReadMask",
    "TestStatements",
    "TestView",
]
