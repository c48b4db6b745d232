"""The API reference as one HTML page, which loads nothing from anywhere, made of the OpenAPI document."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

VERBS = ("get", "post", "put", "patch", "delete")
# The names, for people, of the keywords of a schema.
WORDS = {
    "format": "format",
    "pattern": "pattern",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "minItems": "items, at least",
    "maxItems": "items, at most",
    "uniqueItems": "no item twice",
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "readOnly": "read-only",
    "writeOnly": "never returned",
}
# The bounds of the type itself, which its format says.
INT32 = (-(1 << 31), (1 << 31) - 1)
_REFERENCE = "#/components/schemas/"
_CODE = re.compile(r"`([^`]+)`")


def page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": prose, "kind": kind, "limits": limits}
    operations: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for verb in VERBS:
            if verb in methods:
                operation = methods[verb]
                operations[operation["tags"][0]].append(operation | {"verb": verb.upper(), "path": path})
    return environment.get_template("page.html.jinja").render(
        document=document, operations=operations, schemas=document["components"]["schemas"]
    )


def prose(text: str) -> Markup:
    """Return a comment as HTML: its paragraphs, its lists and its `code`."""
    blocks = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        words = [_coded(line) for line in lines if not line.startswith("- ")]
        items = [Markup("<li>{}</li>").format(_coded(line[2:])) for line in lines if line.startswith("- ")]
        if words:
            blocks.append(Markup("<p>{}</p>").format(Markup(" ").join(words)))
        if items:
            blocks.append(Markup("<ul>{}</ul>").format(Markup().join(items)))
    return Markup("\n").join(blocks)


def kind(schema: dict[str, Any]) -> Markup:
    """Return the type of a schema as HTML, with a link to that which it refers to."""
    if reference := schema.get("$ref"):
        name = reference.removeprefix(_REFERENCE)
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "allOf" in schema:
        return Markup(" and ").join(kind(each) for each in schema["allOf"] if "$ref" in each)
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind(schema["items"]))
    if "additionalProperties" in schema and "properties" not in schema and schema["additionalProperties"]:
        return Markup("map to {}").format(kind(schema["additionalProperties"]))
    if "anyOf" in schema and "type" not in schema:
        return Markup(" or ").join(kind(each) for each in schema["anyOf"])
    return escape(schema.get("type", "value"))


def limits(schema: dict[str, Any]) -> str:
    """Return the rules of a schema, such as `characters, at most: 63`."""
    found = []
    for each in (schema, *schema.get("anyOf", ())):
        for keyword, word in WORDS.items():
            if keyword in each:
                value = each[keyword]
                if schema.get("format") == "int32" and value in INT32:
                    continue
                found.append(word if value is True else f"{word}: {value}")
    return "; ".join(found)


def _coded(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first
