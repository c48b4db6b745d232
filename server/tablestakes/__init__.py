"""The engine: protobuf-defined CRUD over SQLAlchemy, served by grpc.aio, for any domain.

A `Service` is the one value that makes a service; each of its `Resource`s says which message is kept in which
table. A function that serves an RPC takes a `Schema` and a `Call`, and returns `Work`. The names below are all that
a service needs; `tablestakes.columns` has the types that models are written with, and `tablestakes.testing` the
contract suite.
"""

import os

# gRPC's core writes lines of its own form to standard error, past every logger, and also raises whatever its caller
# can act on. It reads this once, when it is first imported, which is below.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from tablestakes.admission.priority import Priority
from tablestakes.columns import (
    NAMING_CONVENTION,
    Audited,
    Document,
    FixedDecimal,
    FreshIds,
    Instant,
    LowerCase,
    RandomUuidKey,
    Serial,
    SoftDeleted,
    UuidKey,
    Versioned,
    bytewise,
    unique_among_live,
)
from tablestakes.command import Command, CommandError
from tablestakes.crud.access import KNOWN, PUBLIC, Access
from tablestakes.crud.call import ANONYMOUS, Call, Caller
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import Key
from tablestakes.crud.method import Method
from tablestakes.crud.resource import Resource, Transition
from tablestakes.crud.row_policy import ANYONE, AUTHENTICATED, EVERY_ROW, FieldPolicy, RowPolicy
from tablestakes.crud.schema.codec import Codec, CodecFor
from tablestakes.crud.schema.reference import missing
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.transition import wrong_state
from tablestakes.crud.work import Work
from tablestakes.crud.written import OnWrite, Written
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.errors import FieldViolation, StatusError, invalid_field, invalid_fields, not_found
from tablestakes.reasons import Reason
from tablestakes.scaffold import NEW
from tablestakes.service import Service
from tablestakes.settings import DatabaseUrl, Settings, SettingsError

__all__ = [
    "ANONYMOUS",
    "ANYONE",
    "AUTHENTICATED",
    "EVERY_ROW",
    "KNOWN",
    "NAMING_CONVENTION",
    "NEW",
    "PUBLIC",
    "Access",
    "Arrival",
    "Audited",
    "Call",
    "Caller",
    "Codec",
    "CodecFor",
    "Command",
    "CommandError",
    "DatabaseUrl",
    "DeclarationError",
    "Document",
    "FieldPolicy",
    "FieldViolation",
    "FixedDecimal",
    "FreshIds",
    "Gate",
    "Instant",
    "Key",
    "LowerCase",
    "Method",
    "OnWrite",
    "Priority",
    "RandomUuidKey",
    "Reason",
    "Resource",
    "RowPolicy",
    "Schema",
    "Serial",
    "Service",
    "Session",
    "Settings",
    "SettingsError",
    "SoftDeleted",
    "StatusError",
    "Transition",
    "UuidKey",
    "Versioned",
    "Work",
    "Written",
    "bytewise",
    "invalid_field",
    "invalid_fields",
    "missing",
    "not_found",
    "unique_among_live",
    "wrong_state",
]
