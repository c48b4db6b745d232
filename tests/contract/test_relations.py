"""The engine's contract of what refers to what, for the marketplace."""

from tablestakes.testing.contract import (
    TestDelete,
    TestForce,
    TestNameList,
    TestReference,
    TestSingleton,
    TestSoftDelete,
    TestTransition,
)
from tests.contract.marketplace import PREPARATIONS, SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "PREPARATIONS",
    "SERVICE",
    "TestDelete",
    "TestForce",
    "TestNameList",
    "TestReference",
    "TestSingleton",
    "TestSoftDelete",
    "TestTransition",
]
