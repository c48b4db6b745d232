"""A method that changes a resource's state from some to one, and is refused in any other state (AIP-216)."""

from datetime import datetime
from typing import Any

import sqlalchemy
from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import bindparam, or_, select

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.resource import Transition
from tablestakes.crud.schema.codec import python_type
from tablestakes.crud.schema.conditional import Conditional, given, to
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.session import Session
from tablestakes.crud.shape import require, require_response
from tablestakes.crud.work import Work
from tablestakes.errors import StatusError, not_found


def bind(rpc: Rpc, transition: Transition) -> Method:
    """Return the method of a transition.

    Raises:
        DeclarationError: The resource has no such state, or no field that keeps the time.
    """
    schema, asks, names = rpc.schema, rpc.asks, rpc.schema.names
    require(rpc.descriptor.input_type, name=STRING)
    require_response(rpc.descriptor, schema.descriptor.full_name)
    state = _state(schema, transition)
    stamp = None if transition.stamp is None else _stamp(schema, transition.stamp)
    columns = frozenset({state.column.name, *([stamp.column.name] if stamp else ()), *schema.audit.changing})
    allowed = [names.where(), state.column.in_(bindparam("sources", expanding=True))]
    told = [state.column]
    if schema.version is not None:
        # Any version, where the caller sent no etag.
        wanted = bindparam("version", type_=schema.version.type)
        allowed.append(or_(wanted.is_(None), schema.version == wanted))
        told.append(schema.version)
    change = Conditional(
        sqlalchemy.update(schema.table).where(*allowed).values(given(columns, schema.table)),
        schema.full.columns,
        select(*told).where(names.where()),
    )
    # The states as the column keeps them: by name, or by number.
    kept = {name: _kept(schema, state, name) for name in (*transition.sources, transition.target)}
    spelt = {value: name for name, value in kept.items()} | {
        _kept(schema, state, value.name): value.name for value in _enum(schema).values
    }
    sources, target = [kept[name] for name in transition.sources], kept[transition.target]

    async def transit(call: Call[Any]) -> Work[Message]:
        name: str = call.request.name
        key = names.parse(name, "name")
        version = version_in(asks.etag(call.request))
        bound = names.bind(key) | {"sources": sources} | ({} if schema.version is None else {"version": version})

        def write(session: Session) -> Message:
            connection = session.connection
            values = {state.column.name: target} | schema.audit.changed(session)
            if stamp is not None:
                values[stamp.column.name] = session.now
            parameters = bound | to(values)
            while True:
                row, found = change.execute(connection, parameters)
                if row is not None:
                    schema.rows.require_allowed(session, [key], values)
                    schema.wrote(session, "updated", key, row)
                    return schema.full.message(connection, row)
                if found is None:
                    raise not_found(name)
                if version is not None:
                    schema.rows.check_version(key, version, found[1])
                if found[0] not in sources:
                    raise wrong_state(name, spelt.get(found[0], str(found[0])), transition.target)
                # Told before another call brought it into one of the sources: try again.

        return Work(write, atomic=bool(schema.collections), writes={state.column.name: target}, key=key)

    return rpc.method(transit, f"{' or '.join(transition.sources)} to {transition.target}")


def _state(schema: Schema, transition: Transition) -> Field:
    """Return the field of the state, and verify the states of a transition."""
    field = schema.field("state")
    states = [value.name for value in _enum(schema).values]
    if not transition.sources:
        raise DeclarationError(f"{schema.descriptor.full_name}: a transition to {transition.target} has no sources")
    for name in (*transition.sources, transition.target):
        if name not in states:
            raise DeclarationError(f"{schema.descriptor.full_name} has no state {name}; {likely(name, states)}")
    return field


def _enum(schema: Schema) -> Any:
    enum = schema.descriptor.fields_by_name["state"].enum_type
    if enum is None:
        raise DeclarationError(f"{schema.descriptor.full_name}.state must be an enum (AIP-216)")
    return enum


def _kept(schema: Schema, state: Field, name: str) -> Any:
    number = _enum(schema).values_by_name[name].number
    return state.codec.to_column(number, "state") if state.codec.to_column else number


def _stamp(schema: Schema, name: str) -> Field:
    field = schema.field(name)
    if python_type(field.column) is not datetime:
        raise DeclarationError(f"{schema.descriptor.full_name}.{name} keeps no time: a stamp must be a Timestamp")
    return field


def wrong_state(name: str, found: str, target: str) -> StatusError:
    """Return FAILED_PRECONDITION for a resource whose state does not allow the state that a method brings it to."""
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "STATE_NOT_ALLOWED",
        f"{name} is {found} and cannot become {target}.",
        metadata={"resource": name, "state": found, "target": target},
    )
