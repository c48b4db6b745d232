"""The HTTP requests of methods, by google.api.http (AIP-127)."""

import re
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import MethodDescriptorProto

from protos.openapi.index import option

# `{name=users/*/addresses/*}`, or `{name}`, which is one segment.
VARIABLE = re.compile(r"\{([a-z0-9_.]+)(?:=([^}]*))?\}")
PARAMETER = re.compile(r"\{([a-z0-9_]+)\}")


@dataclass(frozen=True)
class Binding:
    """The HTTP request of a method.

    Attributes:
        verb: Its verb, in lower case: `get`.
        path: Its path as OpenAPI writes it: each variable segment a parameter of its own, `/v1/users/{user}`.
        parameters: The names of those parameters, in their order, each with the path of the field that it is a part
            of: `user` of `name`.
        body: The path of the field that the body holds, `*` for all that the path does not, empty for none.
    """

    verb: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    body: str

    @property
    def bound(self) -> set[str]:
        """The paths of the fields that the URL's path holds."""
        return {field for _, field in self.parameters}


def bindings(method: MethodDescriptorProto, patterns: list[str]) -> list[Binding]:
    """Return the HTTP requests of a method: none where it has no annotation, several with additional_bindings.

    Args:
        method: The method.
        patterns: The patterns of all resources, `users/{user}`, which name the segments.

    Raises:
        ValueError: A rule cannot be said in OpenAPI: it has a verb of its own, or a variable with `**`.
    """
    rule = option(method, annotations_pb2.http)
    found = []
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb is None:
            continue
        if verb == "custom":
            raise ValueError(f"{method.name}: OpenAPI has no verb {each.custom.kind}")
        found.append(_binding(method, verb, getattr(each, verb), each.body, patterns))
    return found


def _binding(method: MethodDescriptorProto, verb: str, template: str, body: str, patterns: list[str]) -> Binding:
    parameters: list[tuple[str, str]] = []

    def spelt(match: re.Match[str]) -> str:
        field, segments = match[1], match[2] or "*"
        if "**" in segments:
            raise ValueError(f"{method.name}: OpenAPI has no parameter of many segments, as {match[0]} is")
        named = _named(segments, field, patterns)
        parameters.extend((name, field) for name in PARAMETER.findall(named))
        return named

    return Binding(verb, VARIABLE.sub(spelt, template), tuple(parameters), body)


def _named(segments: str, field: str, patterns: list[str]) -> str:
    """Return `users/{user}/profile` for `users/*/profile`: as a resource's pattern has it, where one does."""
    for pattern in patterns:
        if PARAMETER.sub("*", pattern) == segments:
            return pattern
    names = iter(f"{field.rpartition('.')[2]}{number or ''}" for number in range(segments.count("*")))
    return re.sub(r"\*", lambda _: f"{{{next(names)}}}", segments)
