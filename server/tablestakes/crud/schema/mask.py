"""Which parts of a message a read returns: a field mask, understood once (AIP-157, AIP-161)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tablestakes.crud.declaration import likely
from tablestakes.crud.shape import map_entry
from tablestakes.errors import StatusError, invalid_field

PATH = "read_mask"
ANY = "*"

# Characters of all paths together. A mask is kept for callers who send it again, so its size needs a bound.
MAX_CHARACTERS = 4096

# Fields within fields: as deep as protobuf's own parser goes.
MAX_DEPTH = 100

# As Python spells it, for keys are compared by their text.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}")

_KEYS = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
    }
)


@dataclass(frozen=True)
class Mask:
    """The parts of a message, or of the items of a repeated field, or of the values of a map.

    Two masks that select the same by other paths, or by the same in another order, are equal.

    Attributes:
        parts: What is selected, by the name of its field, in their order; in a map by `=` and the key, or by `*`
            for every key. None at all selects everything.
    """

    parts: tuple[tuple[str, "Mask"], ...] = ()

    @staticmethod
    def of(parts: Mapping[str, "Mask"]) -> "Mask":
        """Return the mask of some parts, of which there must be one."""
        return Mask(tuple(sorted(parts.items())))

    @staticmethod
    def of_fields(names: Iterable[str]) -> "Mask":
        """Return the mask that selects whole fields, of which there must be one."""
        return Mask.of(dict.fromkeys(names, WHOLE))

    @property
    def whole(self) -> bool:
        """Whether everything is selected."""
        return not self.parts

    @cached_property
    def by_name(self) -> Mapping[str, "Mask"]:
        """The parts by their names."""
        return dict(self.parts)

    def of_key(self, key: str) -> "Mask | None":
        """Return what is selected of a map's value, None where it is not selected."""
        named, every = self.by_name.get(f"={key}"), self.by_name.get(ANY)
        return named | every if named is not None and every is not None else named or every

    def __or__(self, other: "Mask") -> "Mask":
        """Return the mask that selects what either of two selects."""
        if self.whole or other.whole:
            return WHOLE
        both = dict(self.by_name)
        for name, below in other.parts:
            both[name] = both[name] | below if name in both else below
        return Mask.of(both)

    def __bool__(self) -> bool:
        """A mask is never nothing."""
        return True


WHOLE = Mask()


def read_mask(message: Descriptor, paths: Sequence[str], path: str = PATH) -> Mask:
    """Return the mask that some paths select.

    Args:
        message: The message.
        paths: The paths, as the proto spells fields: `title`, `place.room`; `items.quantity` or
            `items.*.quantity` for a field of each item; ``labels.`two words` `` for one key of a map. None at all
            and `*` select everything.
        path: The path of the mask in the request, for errors.

    Raises:
        StatusError: INVALID_ARGUMENT, for a path that the message does not have, for one into an item by its
            place, for `*` beside another path, and for a mask with more than MAX_CHARACTERS.
    """
    if not paths or list(paths) == [ANY]:
        return WHOLE
    if sum(map(len, paths)) > MAX_CHARACTERS:
        raise invalid_field(path, f"has more than {MAX_CHARACTERS} characters.", "FIELD_MASK_TOO_LONG")
    if ANY in paths:
        raise invalid_field(path, "`*` must be the only path.", "INVALID_FIELD_MASK")
    tree: dict[str, Any] = {}
    for each in dict.fromkeys(paths):
        _add(tree, list(_Steps(message, each, path)))
    return _mask(tree)


def _add(tree: dict[str, Any], steps: Sequence[str]) -> None:
    """Add a path to a tree, in which an empty tree is a leaf that selects everything."""
    for index, step in enumerate(steps):
        known = step in tree
        below: dict[str, Any] = tree.setdefault(step, {})
        if index == len(steps) - 1:
            below.clear()
        elif known and not below:
            return
        tree = below


def _mask(tree: Mapping[str, Any]) -> Mask:
    parts = {name: _mask(below) for name, below in tree.items()}
    if parts.get(ANY) == WHOLE:
        return WHOLE
    return Mask.of(parts) if parts else WHOLE


class _Steps:
    """The names and keys in a path, each of which is there; `*` of a repeated field is left out.

    Args:
        message: The message that the path begins in.
        path: The path.
        mask: The path of the mask in the request.
    """

    def __init__(self, message: Descriptor, path: str, mask: str) -> None:
        self._message: Descriptor | None = message
        self._path = path
        self._mask = mask

    def __iter__(self) -> Iterator[str]:
        steps = self._split()
        message, index = self._message, 0
        while index < len(steps):
            step, quoted = steps[index]
            index += 1
            if message is None:
                raise self._invalid("goes into a field that has no fields of its own.")
            field = None if quoted else message.fields_by_name.get(step)
            if field is None:
                hint = likely(step, message.fields_by_name)
                raise self._refused(f"is not a field of the resource; {hint}", "UNKNOWN_FIELD")
            yield step
            message = field.message_type
            if index == len(steps) or not field.is_repeated:
                continue
            if (entry := map_entry(field)) is not None:
                yield self._key(entry, steps[index])
                message = entry.fields_by_name["value"].message_type
                index += 1
            elif steps[index] == (ANY, False):
                index += 1
            elif steps[index][0].isdigit():
                raise self._invalid("names an item by its place; * stands for every item.")

    def _split(self) -> list[tuple[str, bool]]:
        """Return the steps of the path, each with whether it stood in backticks."""
        steps, left = [], self._path
        while True:
            if left.startswith("`"):
                end = left.find("`", 1)
                if end < 0:
                    raise self._invalid("has a backtick without its other one.")
                steps.append((left[1:end], True))
                left = left[end + 1 :]
                if left and not left.startswith("."):
                    raise self._invalid("needs a dot after a key in backticks.")
            else:
                step, _, _ = left.partition(".")
                steps.append((step, False))
                left = left[len(step) :]
            if not left:
                break
            left = left[1:]
        if len(steps) > MAX_DEPTH:
            raise self._invalid(f"has more than {MAX_DEPTH} steps.")
        return steps

    def _key(self, entry: Descriptor, step: tuple[str, bool]) -> str:
        text, quoted = step
        kind = entry.fields_by_name["key"].type
        if kind not in _KEYS:
            raise self._invalid("goes into a map whose keys are neither text nor integers.")
        if text == ANY and not quoted:
            return ANY
        if kind != FieldDescriptor.TYPE_STRING and not _INTEGER.fullmatch(text):
            raise self._invalid("needs an integer, which is what the keys of the map are.")
        # Marked, for `*` in backticks is a key too, and not every key.
        return f"={text}"

    def _invalid(self, problem: str) -> StatusError:
        return self._refused(problem, "INVALID_FIELD_MASK")

    def _refused(self, problem: str, reason: str) -> StatusError:
        return invalid_field(self._mask, f"{self._path!r} {problem}", reason)


def prune(message: Message, mask: Mask) -> None:
    """Clear what a mask does not select of a message. A message that is set stays set."""
    if mask.whole:
        return
    for field, value in message.ListFields():
        below = mask.by_name.get(field.name)
        if below is None:
            message.ClearField(field.name)
        elif not below.whole:
            prune_value(field, value, below)


def prune_value(field: FieldDescriptor, value: Any, mask: Mask) -> None:
    """Clear what a mask does not select of a field's value: of its message, its items or its map."""
    if (entry := map_entry(field)) is not None:
        of_messages = entry.fields_by_name["value"].message_type is not None
        for key in list(value):
            below = mask.of_key(str(key))
            if below is None:
                del value[key]
            elif of_messages:
                prune(value[key], below)
    elif field.is_repeated:
        for item in value:
            prune(item, mask)
    else:
        prune(value, mask)
