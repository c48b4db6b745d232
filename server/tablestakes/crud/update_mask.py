"""The fields that an Update writes (AIP-134, AIP-161)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud.declaration import likely
from tablestakes.crud.schema.field import NestedField
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.schema.view import Part
from tablestakes.crud.shape import map_entry
from tablestakes.errors import StatusError, invalid_field

PATH = "update_mask"

Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """The fields that an update mask selects.

    Attributes:
        whole: Those that are written as a whole, in the message's order.
        inside: The paths into the messages of other fields, from the resource on, by the name of the field.
    """

    whole: tuple[Part, ...]
    inside: Mapping[str, Sequence[Steps]]

    @property
    def paths(self) -> frozenset[str]:
        """The paths of everything that is written."""
        deep = {".".join(steps) for below in self.inside.values() for steps in below}
        return frozenset({*(part.name for part in self.whole), *deep})


def fields_to_write(schema: Schema, paths: Sequence[str], message: Message) -> Written:
    """Return the fields that an update mask selects.

    Args:
        schema: The resource.
        paths: The mask's paths. None at all selects every field that has a value; `*` every field, but for one
            that is INPUT_ONLY and has none. A field that callers may not set is left out without an error.
        message: The resource as the caller sent it.

    Raises:
        StatusError: INVALID_ARGUMENT on `update_mask`, for a path that the resource does not have or that goes
            into a list, a map or a message of Google's, and for `*` beside another path.
    """
    writable = tuple(part for part in schema.parts if part.writable)
    if not paths:
        return Written(tuple(field for field in writable if field.is_set(message)), {})
    if "*" in paths:
        if len(paths) > 1:
            raise invalid_field(PATH, "`*` must be the only path.", "INVALID_FIELD_MASK")
        # A field that is never returned cannot be sent back: to leave it out is not to clear it (AIP-161: a
        # resource that is read and written back with the same mask stays as it is).
        return Written(tuple(part for part in writable if part.readable or part.is_set(message)), {})
    steps = [_steps(schema, path) for path in dict.fromkeys(paths)]
    named = {each[0] for each in steps if len(each) == 1}
    inside: dict[str, list[Steps]] = defaultdict(list)
    for each in steps:
        if each[0] in schema.writable and each[0] not in named:
            inside[each[0]].append(each)
    return Written(tuple(field for field in writable if field.name in named), inside)


def inside_values(schema: Schema, written: Written, stored: Message, sent: Any, path: str) -> dict[str, Any]:
    """Return the values by column of what is written inside of messages, given the resource as it is stored.

    Raises:
        StatusError: INVALID_ARGUMENT, with the path of a field below that of the resource.
    """
    merged = type(stored)()
    merged.CopyFrom(stored)
    values: dict[str, Any] = {}
    for name, below in written.inside.items():
        for steps in below:
            _copy(sent, merged, steps)
        part = schema.fields[name]
        made = part.values(merged, path)
        if isinstance(part, NestedField):
            # The columns of its other fields are not touched: some of them may be of fields that nobody reads.
            touched = {column.name for steps in below for column in part.fields[steps[1]].columns}
            made = {column: value for column, value in made.items() if column in touched}
        values |= made
    return values


def _copy(source: Any, target: Any, steps: Steps) -> None:
    """Make a field what it is in another message, not set where it is not."""
    name, *below = steps
    if below:
        # A message that is not set has the zero values, and is not made only to clear something in it.
        if source.HasField(name) or target.HasField(name):
            _copy(getattr(source, name), getattr(target, name), tuple(below))
        return
    field = source.DESCRIPTOR.fields_by_name[name]
    target.ClearField(name)
    if field.is_repeated:
        getattr(target, name).MergeFrom(getattr(source, name))
    elif field.has_presence and not source.HasField(name):
        return
    elif field.message_type is not None:
        getattr(target, name).CopyFrom(getattr(source, name))
    else:
        setattr(target, name, getattr(source, name))


def _steps(schema: Schema, path: str) -> Steps:
    """Return the names in a path, and verify them."""
    steps = tuple(path.split("."))
    message: Descriptor | None = schema.descriptor
    field: FieldDescriptor | None = None
    for name in steps:
        if message is None or (field is not None and (field.is_repeated or map_entry(field) is not None)):
            raise _whole(path) if steps[0] in schema.writable else _unknown(path, None, name)
        field = message.fields_by_name.get(name)
        if field is None:
            raise _unknown(path, message, name)
        message = field.message_type
    if len(steps) > 1 and steps[0] in schema.writable and not _has_inside(schema, steps[0]):
        raise _whole(path)
    return steps


def _has_inside(schema: Schema, name: str) -> bool:
    """Return whether a field is a message whose own fields can be written one by one."""
    part = schema.fields.get(name)
    if part is None or part.immutable or name in schema.transforms:
        return False
    message = schema.descriptor.fields_by_name[name].message_type
    return message is not None and not message.full_name.startswith("google.protobuf.")


def _whole(path: str) -> StatusError:
    return invalid_field(PATH, f"{path!r} goes into a field that is written as a whole.", "INVALID_FIELD_MASK")


def _unknown(path: str, message: Descriptor | None, name: str) -> StatusError:
    hint = f"; {likely(name, message.fields_by_name)}" if message is not None else ""
    return invalid_field(PATH, f"{path!r} is not a field of the resource{hint}", "UNKNOWN_FIELD")
