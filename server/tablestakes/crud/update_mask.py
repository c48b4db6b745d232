"""The fields that an Update writes (AIP-134, AIP-161)."""

from collections.abc import Sequence

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tablestakes.crud.declaration import likely
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.schema.view import Part
from tablestakes.errors import StatusError, invalid_field

PATH = "update_mask"


def fields_to_write(schema: Schema, paths: Sequence[str], message: Message) -> tuple[Part, ...]:
    """Return the fields that an update mask selects, in the message's order.

    Args:
        schema: The resource.
        paths: The mask's paths. None at all selects every field that has a value; `*` every field, but for one
            that is INPUT_ONLY and has none. A field that callers may not set is left out without an error.
        message: The resource as the caller sent it.

    Raises:
        StatusError: INVALID_ARGUMENT on `update_mask`, for a path that the resource does not have or that
            goes into a field, and for `*` beside another path.
    """
    writable = tuple(part for part in schema.parts if part.writable)
    if not paths:
        return tuple(field for field in writable if field.is_set(message))
    if "*" in paths:
        if len(paths) > 1:
            raise invalid_field(PATH, "`*` must be the only path.", "INVALID_FIELD_MASK")
        # A field that is never returned cannot be sent back: to leave it out is not to clear it (AIP-161: a
        # resource that is read and written back with the same mask stays as it is).
        return tuple(part for part in writable if part.readable or part.is_set(message))
    named = frozenset(paths)
    for path in named:
        _check(schema, path)
    return tuple(field for field in writable if field.name in named)


def _check(schema: Schema, path: str) -> None:
    name, dot, below = path.partition(".")
    descriptor = schema.descriptor.fields_by_name.get(name)
    if descriptor is None:
        raise _unknown(path, schema.descriptor, name)
    if dot and name in schema.writable:
        raise invalid_field(PATH, f"{path!r} goes into a field that is written as a whole.", "INVALID_FIELD_MASK")
    if dot and (descriptor.message_type is None or below not in descriptor.message_type.fields_by_name):
        raise _unknown(path, descriptor.message_type, below)


def _unknown(path: str, message: Descriptor | None, name: str) -> StatusError:
    hint = f"; {likely(name, message.fields_by_name)}" if message is not None else ""
    return invalid_field(PATH, f"{path!r} is not a field of the resource{hint}", "UNKNOWN_FIELD")
