"""The INPUT_ONLY fields of a response, which are told to nobody and kept with no answer (AIP-203)."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves


def clear_untold(message: Message) -> None:
    """Clear the INPUT_ONLY fields of a message, and of the messages inside it."""
    _clearing(cast(Descriptor, message.DESCRIPTOR))(message)


@cache
def _clearing(descriptor: Descriptor) -> Callable[[Any], None]:
    """Return what clears a message of a type; it looks only where such a field may be."""
    untold = [field.name for field in descriptor.fields if behaves(field, INPUT_ONLY)]
    below = [field for field in descriptor.fields if _may_hold(field, frozenset())]

    def clear(message: Any) -> None:
        for name in untold:
            message.ClearField(name)
        for field in below:
            value = getattr(message, field.name)
            if _is_map(field):
                for each in value.values():
                    clear_untold(each)
            elif field.is_repeated:
                for each in value:
                    clear_untold(each)
            elif message.HasField(field.name):
                clear_untold(value)

    return clear


def _may_hold(field: FieldDescriptor, seen: frozenset[str]) -> bool:
    message = field.message_type
    if message is None or message.full_name in seen:
        return False
    if _is_map(field):
        return _may_hold(message.fields_by_name["value"], seen)
    within = seen | {message.full_name}
    return any(behaves(each, INPUT_ONLY) or _may_hold(each, within) for each in message.fields)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
