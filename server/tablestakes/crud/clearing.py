"""Clearing the fields of a message, and of the messages inside it, that its reader is not told."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves


class Clearing:
    """Clears some fields of messages.

    Args:
        clears: Whether a field is to be cleared.
    """

    def __init__(self, clears: Callable[[FieldDescriptor], bool]) -> None:
        self._clears = clears
        self._of = cache(self._compile)

    def clear(self, message: Message) -> None:
        """Clear the fields of a message, at any depth."""
        self._of(cast(Descriptor, message.DESCRIPTOR))(message)

    def _compile(self, descriptor: Descriptor) -> Callable[[Any], None]:
        """Return what clears a message of a type; it looks only where such a field may be."""
        untold = [field.name for field in descriptor.fields if self._clears(field)]
        below = [field for field in descriptor.fields if self._may_hold(field, frozenset())]

        def clear(message: Any) -> None:
            for name in untold:
                message.ClearField(name)
            for field in below:
                value = getattr(message, field.name)
                if _is_map(field):
                    for each in value.values():
                        self.clear(each)
                elif field.is_repeated:
                    for each in value:
                        self.clear(each)
                elif message.HasField(field.name):
                    self.clear(value)

        return clear

    def _may_hold(self, field: FieldDescriptor, seen: frozenset[str]) -> bool:
        message = field.message_type
        if message is None or message.full_name in seen:
            return False
        if _is_map(field):
            return self._may_hold(message.fields_by_name["value"], seen)
        within = seen | {message.full_name}
        return any(self._clears(each) or self._may_hold(each, within) for each in message.fields)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


UNTOLD = Clearing(lambda field: behaves(field, INPUT_ONLY))
"""Clears INPUT_ONLY fields, which are told to nobody and kept with no answer (AIP-203)."""


@cache
def hiding(names: frozenset[str]) -> Clearing:
    """Return what clears the fields of some full names: `marketplace.v1.User.email`."""
    return Clearing(lambda field: field.full_name in names)
