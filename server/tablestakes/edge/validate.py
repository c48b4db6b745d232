"""The rules that a request must keep: `google.api.field_behavior` REQUIRED and `buf.validate` in its proto."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud.method import Method
from tablestakes.crud.schema.behavior import REQUIRED, behaves
from tablestakes.errors import FieldViolation, invalid_fields

_VALIDATOR = protovalidate.Validator()


def validator(method: Method) -> Callable[[Message], None]:
    """Return the function that checks the requests of a method.

    It raises StatusError, INVALID_ARGUMENT, with every violation at once. Of the resource that a request writes
    only the fields that it writes count: an Update may leave out all others, or send them as it read them.
    """
    required = RequiredFields.of(cast(Descriptor, method.request.DESCRIPTOR), {})

    def validate(request: Message) -> None:
        absent = tuple(required.missing(request))
        broken = _VALIDATOR.collect_violations(request)
        if absent or broken:
            violations = {path: FieldViolation(path, "must be set.", "REQUIRED_FIELD") for path in absent}
            for violation in broken:
                found = _violation(violation)
                violations.setdefault(found.field, found)
            counted = tuple(_counted(method, request, violations))
            if counted:
                raise invalid_fields(*counted)

    return validate


@dataclass
class RequiredFields:
    """The fields of a message, and of the messages inside it, that are REQUIRED.

    Attributes:
        own: The names of the message's own, each with whether "not set" differs from its zero value.
        nested: The fields that hold messages which have any: the name, whether it is repeated, and theirs.
    """

    own: list[tuple[str, bool]] = field(default_factory=list)
    nested: list[tuple[str, bool, "RequiredFields"]] = field(default_factory=list)

    @staticmethod
    def of(message: Descriptor, known: dict[str, "RequiredFields"]) -> "RequiredFields":
        """Find them.

        Args:
            message: The message.
            known: The messages that were met before, by full name: a message may contain itself.
        """
        if message.full_name in known:
            return known[message.full_name]
        made = known[message.full_name] = RequiredFields()
        for each in message.fields:
            if behaves(each, REQUIRED):
                made.own.append((each.name, each.has_presence))
            if _may_hold_required(each):
                made.nested.append(
                    (each.name, each.is_repeated, RequiredFields.of(cast(Descriptor, each.message_type), known))
                )
        return made

    def missing(self, value: Any) -> Iterator[str]:
        """Yield the paths of those that a message leaves out."""
        for name, presence in self.own:
            if not (value.HasField(name) if presence else getattr(value, name)):
                yield name
        for name, repeated, below in self.nested:
            if repeated:
                for index, item in enumerate(getattr(value, name)):
                    for path in below.missing(item):
                        yield f"{name}[{index}].{path}"
            elif value.HasField(name):
                for path in below.missing(getattr(value, name)):
                    yield f"{name}.{path}"


def _may_hold_required(descriptor: FieldDescriptor) -> bool:
    message = descriptor.message_type
    # Google's own types have no such annotations, and the entries of a map have no names to put into a path.
    return (
        message is not None and not message.full_name.startswith("google.") and not message.GetOptions().map_entry
    )


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


def _counted(method: Method, request: Message, violations: dict[str, FieldViolation]) -> Iterator[FieldViolation]:
    """Yield the violations that are not in a field which the request does not write."""
    written = method.writes(request)
    if written is None:
        yield from violations.values()
        return
    for path, violation in violations.items():
        root, _, below = path.partition(".")
        name = below.partition(".")[0].partition("[")[0]
        if root != method.body or not name or name in written:
            yield violation
