"""The rules of buf.validate as JSON Schema says them."""

from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

Schema = dict[str, Any]

# Numbers that JSON has as numbers, and those that protobuf's JSON form has as strings, which have no bounds.
NUMBERS = {"int32", "sint32", "sfixed32", "uint32", "fixed32", "float", "double"}
LONG_NUMBERS = {"int64", "sint64", "sfixed64", "uint64", "fixed64"}
BOUNDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
SPOKEN = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
STRINGS = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
FORMATS = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "uuid": "uuid",
}
LISTS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
MAPS = {"min_pairs": "minProperties", "max_pairs": "maxProperties"}


def keywords(field: FieldDescriptorProto) -> tuple[Schema, list[str]]:
    """Return the rules of a field as keywords of JSON Schema, and as sentences those that have no keyword.

    Raises:
        ValueError: The field has a rule that is not known here, and would be missing from the document.
    """
    rules = field.options.Extensions[validate_pb2.field]
    found: Schema = {}
    said = [_sentence(rule) for rule in rules.cel]
    kind = rules.WhichOneof("type")
    if kind is not None:
        for rule, value in getattr(rules, kind).ListFields():
            _add(field, kind, rule.name, value, found, said)
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE and found:
        # An empty value clears the field, whatever the rules say of others.
        return {"anyOf": [{"const": ""}, found]} if kind == "string" else found, said
    return found, said


def of_message(message: DescriptorProto) -> list[str]:
    """Return the rules of a message as a whole, as sentences."""
    return [_sentence(rule) for rule in message.options.Extensions[validate_pb2.message].cel]


def _add(field: FieldDescriptorProto, kind: str, rule: str, value: Any, found: Schema, said: list[str]) -> None:
    if kind == "string" and rule in STRINGS:
        found[STRINGS[rule]] = value
    elif kind == "string" and rule in FORMATS:
        found["format"] = FORMATS[rule]
    elif kind == "repeated" and rule in LISTS:
        found[LISTS[rule]] = value
    elif kind == "map" and rule in MAPS:
        found[MAPS[rule]] = value
    elif kind in NUMBERS and rule in BOUNDS:
        found[BOUNDS[rule]] = value
    elif kind in LONG_NUMBERS and rule in SPOKEN:
        said.append(f"It is {SPOKEN[rule]} {value}.")
    elif kind in NUMBERS | {"string"} and rule == "in":
        found["enum"] = list(value)
    elif (kind, rule) != ("enum", "defined_only"):
        # A value of an enum that is not defined has no name, and the schema has the names.
        raise ValueError(
            f"{field.name}: the rule {kind}.{rule} of buf.validate is not known to the OpenAPI document"
        )


def _sentence(rule: validate_pb2.Rule) -> str:
    text = rule.message or rule.expression
    return f"{text[:1].upper()}{text[1:]}."
