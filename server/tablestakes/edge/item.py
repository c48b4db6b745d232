"""The items of a request: those of its repeated fields and maps, at any depth."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor

from tablestakes.errors import invalid_field


@dataclass
class Items:
    """The repeated fields and maps of a message, and of the messages inside it.

    Attributes:
        repeated: The names of those whose items are no messages.
        messages: Each field of messages: the name, whether it is repeated, whether it is a map, and theirs.
    """

    repeated: list[str] = field(default_factory=list)
    messages: list[tuple[str, bool, bool, "Items"]] = field(default_factory=list)

    @staticmethod
    def of(message: Descriptor, known: dict[str, "Items"]) -> "Items":
        """Find them; `known` has the messages that were met before, by full name: a message may contain itself."""
        if message.full_name in known:
            return known[message.full_name]
        made = known[message.full_name] = Items()
        for each in message.fields:
            mapped = each.message_type is not None and each.message_type.GetOptions().map_entry
            of: Any = each.message_type
            of = of.fields_by_name["value"].message_type if mapped else of
            if of is not None:
                made.messages.append((each.name, each.is_repeated, mapped, Items.of(of, known)))
            elif each.is_repeated:
                made.repeated.append(each.name)
        return made

    def count(self, value: Any, most: int, path: str = "", before: int = 0) -> int:
        """Return how many items a message has, at any depth.

        Args:
            value: The message.
            most: How many it may have.
            path: The path of the message, with a dot behind it.
            before: How many have been counted before.

        Raises:
            StatusError: INVALID_ARGUMENT on the field with which there are more.
        """
        total = before
        for name in self.repeated:
            total = _bounded(total + len(getattr(value, name)), most, f"{path}{name}")
        for name, repeated, mapped, below in self.messages:
            if repeated:
                items = getattr(value, name)
                total = _bounded(total + len(items), most, f"{path}{name}")
                if below.repeated or below.messages:
                    for item in items.values() if mapped else items:
                        total = below.count(item, most, f"{path}{name}.", total)
            elif (below.repeated or below.messages) and value.HasField(name):
                total = below.count(getattr(value, name), most, f"{path}{name}.", total)
        return total


def _bounded(total: int, most: int, path: str) -> int:
    if total > most:
        raise invalid_field(path, f"has too many items: a request can have {most}.", "TOO_MANY_ITEMS")
    return total
