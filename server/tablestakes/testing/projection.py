"""The part of a message that a read mask leaves, in plain Python: the suite expects it of a server."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves
from tablestakes.testing.sample import is_map


def projected(message: Any, paths: Iterable[Sequence[str]]) -> Any:
    """Return a new message with those parts of another that some paths select.

    Args:
        message: The message.
        paths: The paths, each as its steps; `*` for every item of a repeated field, or every key of a map.
    """
    made = type(message)()
    for path in paths:
        _copy(message, made, path)
    return made


def _copy(source: Any, target: Any, path: Sequence[str]) -> None:
    name, rest = path[0], path[1:]
    field = source.DESCRIPTOR.fields_by_name[name]
    if is_map(field):
        _copy_map(field, getattr(source, name), getattr(target, name), rest)
    elif field.is_repeated:
        _copy_items(getattr(source, name), getattr(target, name), rest)
    elif field.message_type is None:
        if not field.has_presence or source.HasField(name):
            setattr(target, name, getattr(source, name))
    elif source.HasField(name):
        getattr(target, name).SetInParent()
        if rest:
            _copy(getattr(source, name), getattr(target, name), rest)
        else:
            getattr(target, name).CopyFrom(getattr(source, name))


def _copy_items(source: Any, target: Any, rest: Sequence[str]) -> None:
    below = rest[1:] if rest and rest[0] == "*" else rest
    if not below:
        del target[:]
        target.extend(source)
        return
    for index, item in enumerate(source):
        _copy(item, target[index] if index < len(target) else target.add(), below)


def _copy_map(field: FieldDescriptor, source: Any, target: Any, rest: Sequence[str]) -> None:
    entry: Any = field.message_type
    of_messages = entry.fields_by_name["value"].message_type is not None
    for key in source:
        if not rest or rest[0] in ("*", str(key)):
            if not of_messages:
                target[key] = source[key]
            elif len(rest) > 1:
                _copy(source[key], target[key], rest[1:])
            else:
                target[key].CopyFrom(source[key])


def paths_of(message: Descriptor, depth: int) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field of a message that is ever returned, and of the fields inside of it.

    Args:
        message: The message.
        depth: How many fields deep the paths go.
    """
    for field in message.fields:
        if behaves(field, INPUT_ONLY):
            continue
        yield (field.name,)
        if depth > 1 and field.message_type is not None and not is_map(field):
            for below in paths_of(field.message_type, depth - 1):
                yield (field.name, *below)
                if field.is_repeated:
                    yield (field.name, "*", *below)
