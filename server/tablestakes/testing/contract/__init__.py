"""The contract of the standard methods, for every resource of a service, on SQLite and on PostgreSQL.

A test module inherits all of it by `from tablestakes.testing.contract import *`, or imports some of its classes. It
may say `TESTED_SERVICE = ...` to test another service than the one of pytest's setting, and by
`PREPARATIONS = {"Order": function}` what must be so before a sample of a resource can be created and no proto says:
an async function of the resource's `Contract` and the sample.
"""

from tablestakes.testing.contract.batch_get import TestBatchGet
from tablestakes.testing.contract.batch_write import TestBatchCreate, TestBatchDelete, TestBatchUpdate
from tablestakes.testing.contract.behavior import TestBehavior
from tablestakes.testing.contract.create import TestCreate
from tablestakes.testing.contract.delete import TestDelete
from tablestakes.testing.contract.etag import TestEtag
from tablestakes.testing.contract.export import TestExport
from tablestakes.testing.contract.filter import TestFilter
from tablestakes.testing.contract.force import TestForce
from tablestakes.testing.contract.get import TestGet
from tablestakes.testing.contract.list import TestList
from tablestakes.testing.contract.missing import TestMissing
from tablestakes.testing.contract.name_list import TestNameList
from tablestakes.testing.contract.order import TestOrder
from tablestakes.testing.contract.parent import TestParent
from tablestakes.testing.contract.read_mask import TestReadMask
from tablestakes.testing.contract.reference import TestReference
from tablestakes.testing.contract.rehearsal import TestRehearsal
from tablestakes.testing.contract.repetition import TestRepetition
from tablestakes.testing.contract.schema import TestSchema
from tablestakes.testing.contract.singleton import TestSingleton
from tablestakes.testing.contract.soft_delete import TestSoftDelete
from tablestakes.testing.contract.statements import TestStatements
from tablestakes.testing.contract.transition import TestTransition
from tablestakes.testing.contract.update import TestUpdate
from tablestakes.testing.contract.view import TestView

__all__ = [
    "TestBatchCreate",
    "TestBatchDelete",
    "TestBatchGet",
    "TestBatchUpdate",
    "TestBehavior",
    "TestCreate",
    "TestDelete",
    "TestEtag",
    "TestExport",
    "TestFilter",
    "TestForce",
    "TestGet",
    "TestList",
    "TestMissing",
    "TestNameList",
    "TestOrder",
    "TestParent",
    "TestReadMask",
    "TestReference",
    "TestRehearsal",
    "TestRepetition",
    "TestSchema",
    "TestSingleton",
    "TestSoftDelete",
    "TestStatements",
    "TestTransition",
    "TestUpdate",
    "TestView",
]
