"""Whether a request keeps the rules of its proto: `google.api.field_behavior` REQUIRED and `buf.validate`."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud import Rpc
from tablestakes.crud.schema.behavior import REQUIRED, behaves
from tablestakes.errors import FieldViolation, invalid_fields

_VALIDATOR = protovalidate.Validator()

Missing = Callable[[Any], Iterator[str]]
"""Yields the paths of the required fields that a message leaves out."""


def validator(rpc: Rpc) -> Callable[[Message], None]:
    """Return the function that checks an RPC's requests.

    It raises StatusError, INVALID_ARGUMENT, with every violation at once. Of the resource that a request writes
    only the fields that it does write count: an Update may leave out, or send as it read them, all the others.
    """
    missing = _required(cast(Descriptor, rpc.request.DESCRIPTOR))

    def validate(request: Message) -> None:
        absent = tuple(missing(request))
        broken = _VALIDATOR.collect_violations(request)
        if absent or broken:
            violations = {path: FieldViolation(path, "must be set.", "REQUIRED_FIELD") for path in absent}
            for violation in broken:
                found = _violation(violation)
                violations.setdefault(found.field, found)
            counted = tuple(_counted(rpc, request, violations))
            if counted:
                raise invalid_fields(*counted)

    return validate


def _required(message: Descriptor) -> Missing:
    """Return what finds the required fields that are not set, in a message and in those inside it."""
    required = [(field.name, field.has_presence) for field in message.fields if behaves(field, REQUIRED)]
    nested = [
        (field.name, field.is_repeated, _required(cast(Descriptor, field.message_type)))
        for field in message.fields
        if _may_hold_required(field)
    ]

    def missing(value: Any) -> Iterator[str]:
        for name, presence in required:
            if not (value.HasField(name) if presence else getattr(value, name)):
                yield name
        for name, repeated, below in nested:
            if repeated:
                for index, item in enumerate(getattr(value, name)):
                    for path in below(item):
                        yield f"{name}[{index}].{path}"
            elif value.HasField(name):
                for path in below(getattr(value, name)):
                    yield f"{name}.{path}"

    return missing


def _may_hold_required(field: FieldDescriptor) -> bool:
    message = field.message_type
    # Google's own types have no such annotations, and some of them contain themselves.
    return message is not None and not message.full_name.startswith("google.")


def _violation(violation: protovalidate.Violation) -> FieldViolation:
    proto = violation.proto
    path = "".join(_step(element) for element in proto.field.elements) if proto.field else ""
    reason = proto.rule_id.upper().replace(".", "_").replace("-", "_")
    return FieldViolation(path.removeprefix("."), f"{proto.message}.", reason)


def _step(element: protovalidate.FieldPathElementPb) -> str:
    if element.subscript is None:
        return f".{element.field_name}"
    key = element.subscript.value
    return f".{element.field_name}[{key}]" if not isinstance(key, str) else f'.{element.field_name}["{key}"]'


def _counted(rpc: Rpc, request: Message, violations: dict[str, FieldViolation]) -> Iterator[FieldViolation]:
    """Yield the violations that are not in a field which the request does not write."""
    if rpc.writes is None:
        yield from violations.values()
        return
    written = rpc.writes(request)
    for path, violation in violations.items():
        root, _, below = path.partition(".")
        name = below.partition(".")[0].partition("[")[0]
        if root != rpc.body or not name or name in written:
            yield violation
