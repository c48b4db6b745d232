"""The OpenAPI 3.1 document of the services of a package, from their descriptors and comments."""

import re
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, MethodDescriptorProto
from google.rpc import code_pb2

from protos.openapi.index import Index, option
from protos.openapi.rest import Binding, bindings
from protos.openapi.rules import Schema
from protos.openapi.schema import REQUIRED, Schemas

JSON = "application/json"
STATUS = "google.rpc.Status"
# The details that errors have (AIP-193).
DETAILS = ("google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo")
# The HTTP statuses of codes, as google/rpc/code.proto has them and Envoy sends them.
HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# Of any method, whatever its comment says.
ALWAYS = {
    "INVALID_ARGUMENT": "a field has a bad value",
    "RESOURCE_EXHAUSTED": "there are too many requests, or one is too large",
    "UNAVAILABLE": "the service or its database cannot be reached",
    "DEADLINE_EXCEEDED": "there was no answer in time",
}
_WHEN = re.compile(rf"\b({'|'.join(HTTP)}) when (.*?)(?=[;.](?:\s|$))", re.DOTALL)


def document(index: Index, package: str, *, title: str, version: str, description: str) -> dict[str, Any]:
    """Return the document.

    Args:
        index: The compiled protos.
        package: The package whose services are described.
        title: The name of the API.
        version: The version of the document.
        description: The first words of the document, in Markdown.

    Raises:
        ValueError: A method or a rule cannot be said in the document.
    """
    schemas = Schemas(index, package)
    paths: dict[str, dict[str, Any]] = {}
    tags = []
    for name in sorted(each for each in index.services if each.rpartition(".")[0] == package):
        service = index.services[name]
        tags.append({"name": service.name, "description": index.comments.get(name, "")})
        for method in service.method:
            for number, binding in enumerate(bindings(method, list(index.resources.values()))):
                operation = _operation(schemas, name, method, binding)
                if number:
                    operation["operationId"] += str(number + 1)
                paths.setdefault(binding.path, {})[binding.verb] = operation
    _details(schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "http://127.0.0.1:8080", "description": "`make serve-http`"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.components.items()))},
    }


def _operation(schemas: Schemas, service: str, method: MethodDescriptorProto, binding: Binding) -> dict[str, Any]:
    request = method.input_type.removeprefix(".")
    comment = schemas.index.comments.get(f"{service}.{method.name}", "")
    summary, _, rest = comment.partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": f"{service.rpartition('.')[2]}_{method.name}",
        "x-grpc-method": f"{service}/{method.name}",
        "tags": [service.rpartition(".")[2]],
        "summary": summary,
    }
    if rest:
        operation["description"] = rest
    parameters = [_in_path(schemas, request, name, field) for name, field in binding.parameters]
    parameters += _in_query(schemas, request, binding)
    if parameters:
        operation["parameters"] = parameters
    if binding.body:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": _body(schemas, method, request, binding)}},
        }
    operation["responses"] = _responses(schemas, method, comment)
    return operation


def _in_path(schemas: Schemas, request: str, name: str, path: str) -> Schema:
    comment = _comment(schemas, request, path)
    schema = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"Of `{path}`: {comment}",
        "schema": schema,
    }


def _in_query(schemas: Schemas, request: str, binding: Binding) -> list[Schema]:
    if binding.body == "*":
        return []
    taken = {path.partition(".")[0] for path in binding.bound} | {binding.body}
    found = []
    for field in schemas.index.messages[request].field:
        if field.name in taken:
            continue
        schema = schemas.property(request, field)
        parameter: Schema = {"name": field.json_name, "in": "query"}
        if description := schema.pop("description", ""):
            parameter["description"] = description
        if REQUIRED in option(field, field_behavior_pb2.field_behavior):
            parameter["required"] = True
        found.append(parameter | {"schema": schema})
    return found


def _body(schemas: Schemas, method: MethodDescriptorProto, request: str, binding: Binding) -> Schema:
    if binding.body == "*":
        bound = {path.partition(".")[0] for path in binding.bound}
        fields = [each for each in schemas.index.messages[request].field if each.name not in bound]
        schema: Schema = {
            "type": "object",
            "properties": {each.json_name: schemas.property(request, each) for each in fields},
        }
        names = {each.json_name for each in fields}
        if required := [name for name in schemas.required(request) if name in names]:
            schema["required"] = required
        return schema
    name = _field(schemas, request, binding.body).type_name.removeprefix(".")
    reference = schemas.refer(name)
    required = schemas.required(name)
    # A Create takes a whole resource; an Update only what is to change, by its mask.
    if method.name.startswith("Create") and schemas.is_resource(name) and required:
        return {"allOf": [reference, {"required": required}]}
    return reference


def _responses(schemas: Schemas, method: MethodDescriptorProto, comment: str) -> dict[str, Any]:
    answer: dict[str, Any] = schemas.refer(method.output_type.removeprefix("."))
    if method.server_streaming:
        answer = {"type": "array", "items": answer}
    found: dict[str, Any] = {"200": {"description": "OK", "content": {JSON: {"schema": answer}}}}
    reasons = dict(_WHEN.findall(comment))
    by_status: dict[int, list[str]] = {}
    for code, text in (ALWAYS | reasons).items():
        by_status.setdefault(HTTP[code], []).append(f"{code} when {text}.")
    error = {"content": {JSON: {"schema": schemas.refer(STATUS)}}}
    for status in sorted(by_status):
        found[str(status)] = {"description": " ".join(by_status[status])} | error
    found["default"] = {"description": "Any other error."} | error
    return found


def _details(schemas: Schemas) -> None:
    """Say which details a status has, each named by its `@type`."""
    known = []
    for name in DETAILS:
        kind = {"type": "object", "properties": {"@type": {"const": f"type.googleapis.com/{name}"}}}
        known.append({"allOf": [schemas.refer(name), kind | {"required": ["@type"]}]})
    status = schemas.components[STATUS]
    status["description"] = "An error (AIP-193)."
    codes = ", ".join(f"{code_pb2.Code.Value(name)} is {name}" for name in HTTP)
    status["properties"]["code"]["description"] = f"The code: {codes}."
    status["properties"]["message"]["description"] = "What went wrong, for the developer who reads it, in English."
    status["properties"]["details"] |= {"items": {"anyOf": known}, "description": "The details, for programs."}
    status["required"] = ["code", "message"]


def _comment(schemas: Schemas, request: str, path: str) -> str:
    message = request
    *above, last = path.split(".")
    for step in above:
        message = _field(schemas, message, step).type_name.removeprefix(".")
    return schemas.index.comments.get(f"{message}.{last}", "")


def _field(schemas: Schemas, message: str, name: str) -> FieldDescriptorProto:
    (found,) = [each for each in schemas.index.messages[message].field if each.name == name]
    return found
