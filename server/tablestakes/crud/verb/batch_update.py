"""BatchUpdate: changes of many resources, all of them or none (AIP-234)."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Row

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.collection import replace_lists
from tablestakes.crud.schema.many import Found
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require_field
from tablestakes.crud.verb.batch import Faults, item_rpc, read_items, require_below, require_distinct
from tablestakes.crud.verb.batch_each import bind_each
from tablestakes.crud.verb.update import UPDATE, Change, Changing, require_unchanged
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import not_found

Items = Sequence[tuple[Any, Work[Message]]]
"""The requests of a batch, each with the work that would be done for it alone."""


def bind(rpc: Rpc) -> Method:
    """Return the method that changes many resources.

    One statement locks their rows, one changes them, and up to four are for each collection. An item that is to
    create a missing resource costs statements of its own.
    """
    schema = rpc.schema
    item = item_rpc(rpc, "Update")
    answers = require_field(rpc.descriptor.output_type, schema.descriptor, repeated=True)
    alone = UPDATE.bind(item) if schema.singleton else rpc.declared(item.descriptor.name)
    if alone is not None:
        return bind_each(rpc, alone, lambda changed: rpc.response(**{answers: changed}))
    changing = Changing(item)

    async def batch_update(call: Call[Any]) -> Work[Message]:
        request = call.request
        changes = await read_items(request, changing.change)
        require_below(rpc, request, [change.key for change in changes])
        require_distinct(change.key for change in changes)
        works = [await changing.work(*each) for each in zip(request.requests, changes, strict=True)]
        items = list(zip(request.requests, works, strict=True))
        together = _Together(schema, changing, changes, items)

        def write(session: Session) -> Message:
            return rpc.response(**{answers: together.write(session)})

        return Work(write, atomic=True, items=items)

    return rpc.method(batch_update, "batch update", item=UPDATE.bind(item))


class _Together:
    """Changes that are made together."""

    def __init__(self, schema: Schema, changing: Changing, changes: Sequence[Change], items: Items) -> None:
        self._schema = schema
        self._changing = changing
        self._changes = changes
        self._items = items
        self._width = len(schema.full.columns)
        # One set of columns for all: where an item leaves one out, its row keeps the value that it has.
        inside = {schema.fields[name] for change in changes for name in change.written.inside}
        columns = {column.name for field in inside for column in field.columns}
        self._written = sorted(columns.union(*(change.values for change in changes)))
        self._sent = sorted({name for change in changes for name in change.sent})
        self._more = [schema.table.c[name] for name in (*self._written, *self._sent)]

    def write(self, session: Session) -> list[Message]:
        """Make the changes, and return the resources in the order of the requests."""
        schema = self._schema
        locked = schema.many.lock(session, [change.key[-1] for change in self._changes], self._more)
        created = self._require(session, locked)
        there = [change for index, change in enumerate(self._changes) if index not in created]
        rows = [self._values(each, locked) for each in there if each.values or each.lists or each.inside]
        found = {**locked, **schema.many.update(session, rows)}
        replace_lists(session.connection, [(change.key[-1], change.lists) for change in there])
        told = iter(schema.full.messages(session.connection, [found[change.key] for change in there]))
        return [created[index] if index in created else next(told) for index in range(len(self._changes))]

    def _require(self, session: Session, locked: Found) -> dict[int, Message]:
        """Require that every change can be made, and return the resources that were created, by index."""
        created: dict[int, Message] = {}
        with Faults() as faults:
            for index, (change, (request, alone)) in enumerate(zip(self._changes, self._items, strict=True)):
                with faults.of(index):
                    if (row := locked.get(change.key)) is not None:
                        self._check(session, change, row)
                    elif self._changing.may_create(request):
                        created[index] = alone.apply(session)
                    else:
                        raise not_found(change.name)
        return created

    def _check(self, session: Session, change: Change, row: Row[Any]) -> None:
        if change.version is not None:
            rows = self._schema.rows
            rows.check_version(change.key, change.version, rows.version_of(row))
        has = dict(zip(self._sent, row[self._width + len(self._written) :], strict=True))
        if any(value != has[name] for name, value in change.sent.items()):
            # The two may all the same be equal for the database.
            require_unchanged(session, self._schema, change)

    def _values(self, change: Change, locked: Found) -> dict[str, Any]:
        row = locked[change.key]
        kept = dict(zip(self._written, row[self._width :], strict=False))
        inside = self._changing.inside(change, row) if change.inside else {}
        return {self._schema.names.id_column.name: change.key[-1], **kept, **change.values, **inside}


BATCH_UPDATE = Verb("BatchUpdate", bind, plural=True)
