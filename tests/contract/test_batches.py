"""The engine's contract of batches that write, for the marketplace."""

from tablestakes.testing.contract import TestBatchCreate, TestBatchDelete, TestBatchUpdate
from tests.contract.marketplace import PREPARATIONS, SERVICE

TESTED_SERVICE = SERVICE

__all__ = ["PREPARATIONS", "SERVICE", "TestBatchCreate", "TestBatchDelete", "TestBatchUpdate"]
