"""The engine's contract of batches that write, for the library."""

from tablestakes.testing.contract import TestBatchCreate, TestBatchDelete, TestBatchUpdate
from tests.library.service import SERVICE

TESTED_SERVICE = SERVICE

__all__ = ["SERVICE", "TestBatchCreate", "TestBatchDelete", "TestBatchUpdate"]
