"""The REQUIRED fields that a message leaves out (AIP-203), also in the messages inside it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tablestakes.crud.schema.behavior import REQUIRED, behaves


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
