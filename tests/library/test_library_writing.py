"""The engine's contract of writing, for the library."""

from tablestakes.testing.contract import (
    TestBehavior,
    TestCreate,
    TestDelete,
    TestEtag,
    TestForce,
    TestMissing,
    TestNameList,
    TestRehearsal,
    TestRepetition,
    TestSoftDelete,
    TestUpdate,
)
from tests.library.service import SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "SERVICE",
    "TestBehavior",
    "TestCreate",
    "TestDelete",
    "TestEtag",
    "TestForce",
    "TestMissing",
    "TestNameList",
    "TestRehearsal",
    "TestRepetition",
    "TestSoftDelete",
    "TestUpdate",
]
