"""The engine's contract of declarations and migrations, for the marketplace as it is served."""

from marketplace_service import SERVICE
from tablestakes.testing.contract import TestSchema

TESTED_SERVICE = SERVICE

__all__ = ["SERVICE", "TestSchema"]
