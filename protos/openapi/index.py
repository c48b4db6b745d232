"""The messages, enums and services of a compiled set of protos, by name, with their comments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

# The numbers of fields in descriptor.proto, of which the path of a comment is made (SourceCodeInfo.Location.path).
MESSAGES, ENUMS, SERVICES = 4, 5, 6
NESTED, NESTED_ENUMS, FIELDS = 3, 4, 2
VALUES, METHODS = 2, 2

Path = tuple[int, ...]


@dataclass
class Index:
    """A compiled set of protos, by full name without a leading dot.

    Attributes:
        messages: The messages, nested ones too.
        enums: The enums.
        services: The services, in the order of their files.
        comments: The comments of everything that has one: messages, fields, enums, their values, services and
            methods. A value's name is below its enum's here, `pkg.Enum.VALUE`.
        resources: The patterns of resources, `users/{user}`, by type (AIP-123).
    """

    messages: dict[str, DescriptorProto] = field(default_factory=dict)
    enums: dict[str, EnumDescriptorProto] = field(default_factory=dict)
    services: dict[str, ServiceDescriptorProto] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, files: FileDescriptorSet) -> "Index":
        """Read a set of protos that was compiled with its imports and its comments."""
        index = cls()
        for file in files.file:
            comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
            for name, path in index._add(file):
                if text := comments.get(path, ""):
                    index.comments[name] = _unwrapped(text)
        return index

    def _add(self, file: FileDescriptorProto) -> Iterator[tuple[str, Path]]:
        """Add a file's contents, and yield each full name with the path of its comment."""
        yield from self._add_messages(file.message_type, file.package, (MESSAGES,))
        yield from self._add_enums(file.enum_type, file.package, (ENUMS,))
        for number, service in enumerate(file.service):
            name = f"{file.package}.{service.name}"
            self.services[name] = service
            yield name, (SERVICES, number)
            for place, method in enumerate(service.method):
                yield f"{name}.{method.name}", (SERVICES, number, METHODS, place)

    def _add_messages(
        self, messages: Sequence[DescriptorProto], scope: str, above: Path
    ) -> Iterator[tuple[str, Path]]:
        for number, message in enumerate(messages):
            name, path = f"{scope}.{message.name}", (*above, number)
            self.messages[name] = message
            resource = option(message, resource_pb2.resource)
            if resource.pattern:
                self.resources[resource.type] = resource.pattern[0]
            yield name, path
            for place, each in enumerate(message.field):
                yield f"{name}.{each.name}", (*path, FIELDS, place)
            yield from self._add_messages(message.nested_type, name, (*path, NESTED))
            yield from self._add_enums(message.enum_type, name, (*path, NESTED_ENUMS))

    def _add_enums(
        self, enums: Sequence[EnumDescriptorProto], scope: str, above: Path
    ) -> Iterator[tuple[str, Path]]:
        for number, enum in enumerate(enums):
            name, path = f"{scope}.{enum.name}", (*above, number)
            self.enums[name] = enum
            yield name, path
            for place, value in enumerate(enum.value):
                yield f"{name}.{value.name}", (*path, VALUES, place)


def option(described: Any, extension: Any) -> Any:
    """Return an option of a message, a field or a method, by its extension; the default where it has none."""
    return described.options.Extensions[extension]


def _unwrapped(comment: str) -> str:
    """Return a comment with one line for each paragraph and an empty one between two, as Markdown has them."""
    paragraphs = "\n".join(line.strip() for line in comment.splitlines()).split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip())
