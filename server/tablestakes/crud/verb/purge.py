"""Purge: deleted resources are removed for good before they expire, by a filter (AIP-165).

It is answered once it is done, and not with an operation to ask about later: what one call removes is bounded.
"""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.asks import BOOL, INT32, STRING
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.query.filtered import FILTER, filter_reader
from tablestakes.crud.query.statements import conditions
from tablestakes.crud.schema.removal import BATCH, Removal
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_strings
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import invalid_field, not_found

MOST_PURGED = 10_000
"""How many resources a call removes at most: as many as a transaction of a few seconds can."""

SAMPLE = 100
"""How many names are told at most of resources that would be removed."""

EVERYTHING = "*"


def bind(rpc: Rpc) -> Method:
    """Return the method that removes deleted resources, below a parent where their names have one."""
    schema, names, parent = rpc.schema, rpc.schema.names, rpc.schema.names.parent
    removal = require_removal(rpc)
    above = {"parent": STRING} if parent else {}
    require(rpc.descriptor.input_type, filter=STRING, force=BOOL, **above)
    require(rpc.descriptor.output_type, purge_count=INT32)
    require_strings(rpc.descriptor.output_type, "purge_sample")
    response = GetMessageClass(rpc.descriptor.output_type)
    filter_of = filter_reader(rpc.descriptor.input_type, schema, rpc.limits)

    async def purge(call: Call[Any]) -> Work[Message]:
        request = call.request
        if not request.filter.strip():
            raise invalid_field(FILTER, "must be set; `*` stands for all of them.", "REQUIRED_FIELD")
        only, given = (None, {}) if request.filter.strip() == EVERYTHING else filter_of(request)
        key: Key = parent.parse(request.parent, "parent", wildcard=True) if parent else ()
        below = tuple(index for index, value in enumerate(key) if value is not ANY_ID)
        bound, force = names.bind(key) | given, bool(request.force)
        wanted = conditions(names, below, only, deleted=True)

        def remove(session: Session) -> Message:
            connection = session.connection
            if below and not schema.has_parent(connection, key, deleted=True):
                raise not_found(request.parent)
            if not force:
                return response(
                    purge_count=removal.count(connection, wanted, bound, MOST_PURGED),
                    purge_sample=removal.sample(connection, wanted, bound, SAMPLE),
                )
            removed, last = 0, BATCH
            while last == BATCH and removed < MOST_PURGED:
                last = removal.purge(session, wanted, bound)
                removed += last
            return response(purge_count=removed)

        return Work(remove, atomic=True)

    return rpc.method(purge, "purge")


def require_removal(rpc: Rpc) -> Removal:
    """Return how a resource is deleted softly.

    Raises:
        DeclarationError: It is not.
    """
    removal = rpc.schema.removal
    if removal is None:
        raise DeclarationError(
            f"{rpc.descriptor.full_name}: {rpc.schema.descriptor.full_name} is deleted for good; give it"
            " `google.protobuf.Timestamp delete_time`, OUTPUT_ONLY, and its model tablestakes.SoftDeleted"
        )
    return removal


PURGE = Verb("Purge", bind, plural=True, serves=frozenset({FILTER}))
