"""The options of a proto, above all the behavior of a field (AIP-203)."""

from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor

OPTIONAL = field_behavior_pb2.OPTIONAL
REQUIRED = field_behavior_pb2.REQUIRED
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
INPUT_ONLY = field_behavior_pb2.INPUT_ONLY
IMMUTABLE = field_behavior_pb2.IMMUTABLE
IDENTIFIER = field_behavior_pb2.IDENTIFIER


def behaves(field: FieldDescriptor, *behaviors: int) -> bool:
    """Return whether a field has any of the behaviors."""
    declared = option(field, field_behavior_pb2.field_behavior)
    return any(behavior in declared for behavior in behaviors)


def option(descriptor: Any, extension: Any) -> Any:
    """Return a custom option of any descriptor, or its empty value where the proto does not set it."""
    return descriptor.GetOptions().Extensions[extension]


def has_option(descriptor: Any, extension: Any) -> bool:
    """Return whether the proto sets a custom option, be it to its empty value."""
    return bool(descriptor.GetOptions().HasExtension(extension))
