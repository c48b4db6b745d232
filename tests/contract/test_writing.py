"""The engine's contract of creating and changing, for the marketplace."""

from tablestakes.testing.contract import (
    TestBehavior,
    TestCreate,
    TestEtag,
    TestMissing,
    TestRehearsal,
    TestRepetition,
    TestUpdate,
)
from tests.contract.marketplace import PREPARATIONS, SERVICE

TESTED_SERVICE = SERVICE

__all__ = [
    "PREPARATIONS",
    "SERVICE",
    "TestBehavior",
    "TestCreate",
    "TestEtag",
    "TestMissing",
    "TestRehearsal",
    "TestRepetition",
    "TestUpdate",
]
