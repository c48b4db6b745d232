"""The engine's contract of reading, for the library."""

from tablestakes.testing.contract import (
    TestBatchGet,
    TestExport,
    TestFilter,
    TestGet,
    TestList,
    TestOrder,
    TestParent,
    TestReadMask,
    TestReference,
    TestSchema,
    TestStatements,
)
from tests.library.service import SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "SERVICE",
    "TestBatchGet",
    "TestExport",
    "TestFilter",
    "TestGet",
    "TestList",
    "TestOrder",
    "TestParent",
    "TestReadMask",
    "TestReference",
    "TestSchema",
    "TestStatements",
]
