"""Messages as JSON Schema, in protobuf's JSON form (ProtoJSON)."""

from google.api import field_behavior_pb2, resource_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from protos.openapi.index import Index, option
from protos.openapi.rest import PARAMETER
from protos.openapi.rules import Schema, keywords, of_message

F = FieldDescriptorProto
LONG: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
UNSIGNED_LONG: Schema = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
INT: Schema = {"type": "integer", "format": "int32", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}
UNSIGNED: Schema = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": (1 << 32) - 1}
DECIMAL: Schema = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
TEXT: Schema = {"type": "string"}
SCALARS: dict[int, Schema] = {
    F.TYPE_STRING: TEXT,
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    F.TYPE_DOUBLE: DECIMAL,
    F.TYPE_FLOAT: DECIMAL,
    **dict.fromkeys((F.TYPE_INT32, F.TYPE_SINT32, F.TYPE_SFIXED32), INT),
    **dict.fromkeys((F.TYPE_UINT32, F.TYPE_FIXED32), UNSIGNED),
    **dict.fromkeys((F.TYPE_INT64, F.TYPE_SINT64, F.TYPE_SFIXED64), LONG),
    **dict.fromkeys((F.TYPE_UINT64, F.TYPE_FIXED64), UNSIGNED_LONG),
}
# The messages that ProtoJSON writes in a form of their own.
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": TEXT,
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The type of the message, as a URL."}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.StringValue": {"type": ["string", "null"]},
}
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
INPUT_ONLY = field_behavior_pb2.INPUT_ONLY
REQUIRED = field_behavior_pb2.REQUIRED
IMMUTABLE = field_behavior_pb2.IMMUTABLE


class Schemas:
    """The schemas of messages and enums, each written once, where others refer to it.

    Attributes:
        components: Those that were asked for, and all that they need, by name.
    """

    def __init__(self, index: Index, package: str) -> None:
        self.index = index
        self.package = package
        self.components: dict[str, Schema] = {}

    def refer(self, name: str) -> Schema:
        """Return a reference to a message or an enum by its full name, or the schema of a well-known one."""
        if name in WELL_KNOWN:
            return dict(WELL_KNOWN[name])
        # Names of the package that is described are short, as there is no other package of one's own.
        short = name.removeprefix(f"{self.package}.")
        if short not in self.components:
            # It is there before its fields are looked at: a message may contain itself.
            self.components[short] = {}
            self.components[short].update(self._message(name) if name in self.index.messages else self._enum(name))
        return {"$ref": f"#/components/schemas/{short}"}

    def property(self, owner: str, field: FieldDescriptorProto) -> Schema:
        """Return the schema of a field.

        Args:
            owner: The full name of its message.
            field: The field.
        """
        rules, said = keywords(field)
        schema = self._value(field) | rules
        if not rules and (pattern := self._name_pattern(field)):
            schema["pattern"] = pattern
        if field.label == F.LABEL_REPEATED and not self._is_map(field):
            items = self._value(field)
            if pattern := self._name_pattern(field):
                items["pattern"] = pattern
            schema = {"type": "array", "items": items} | rules
        behaviors = option(field, field_behavior_pb2.field_behavior)
        if OUTPUT_ONLY in behaviors:
            schema["readOnly"] = True
        if INPUT_ONLY in behaviors:
            schema["writeOnly"] = True
        if IMMUTABLE in behaviors:
            said.append("It cannot be changed later.")
        if text := " ".join([self.index.comments.get(f"{owner}.{field.name}", ""), *said]).strip():
            schema["description"] = text
        return schema

    def required(self, name: str) -> list[str]:
        """Return the JSON names of a message's REQUIRED fields."""
        return [
            each.json_name
            for each in self.index.messages[name].field
            if REQUIRED in option(each, field_behavior_pb2.field_behavior)
        ]

    def is_resource(self, name: str) -> bool:
        """Return whether a message is a resource (AIP-123)."""
        return bool(option(self.index.messages[name], resource_pb2.resource).type)

    def _message(self, name: str) -> Schema:
        message = self.index.messages[name]
        text = " ".join([self.index.comments.get(name, ""), *of_message(message)]).strip()
        schema: Schema = {"type": "object"}
        if text:
            schema["description"] = text
        schema["properties"] = {each.json_name: self.property(name, each) for each in message.field}
        # A resource's fields are required where it is created, and the Create says so: an Update takes a few.
        if not self.is_resource(name) and (required := self.required(name)):
            schema["required"] = required
        return schema

    def _enum(self, name: str) -> Schema:
        values = [each.name for each in self.index.enums[name].value]
        lines = [self.index.comments.get(name, "")]
        lines += [f"- `{value}`: {self.index.comments.get(f'{name}.{value}', '')}" for value in values]
        return {"type": "string", "enum": values, "description": "\n".join(lines).strip()}

    def _value(self, field: FieldDescriptorProto) -> Schema:
        """Return the schema of a field's value, or of one of its values where it is repeated."""
        if field.type in (F.TYPE_MESSAGE, F.TYPE_ENUM):
            name = field.type_name.removeprefix(".")
            if self._is_map(field):
                return {"type": "object", "additionalProperties": self._value(self.index.messages[name].field[1])}
            return self.refer(name)
        return dict(SCALARS[field.type])

    def _is_map(self, field: FieldDescriptorProto) -> bool:
        message = self.index.messages.get(field.type_name.removeprefix("."))
        return message is not None and message.options.map_entry

    def _name_pattern(self, field: FieldDescriptorProto) -> str:
        """Return the pattern of the resource names that a field holds, empty where it holds none."""
        kind = option(field, resource_pb2.resource_reference).type
        pattern = self.index.resources.get(kind, "")
        return f"^{PARAMETER.sub('[^/]+', pattern)}$" if pattern else ""
