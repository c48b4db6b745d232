"""The engine's contract of reading, for the library."""

from tablestakes.testing.contract import (
    TestFilter,
    TestGet,
    TestList,
    TestOrder,
    TestParent,
    TestReference,
    TestSchema,
    TestStatements,
)
from tests.library.service import SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "SERVICE",
    "TestFilter",
    "TestGet",
    "TestList",
    "TestOrder",
    "TestParent",
    "TestReference",
    "TestSchema",
    "TestStatements",
]
