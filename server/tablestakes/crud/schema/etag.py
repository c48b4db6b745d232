"""The etag of a resource: the version of its row, as callers hold it (AIP-154)."""

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import Column, Table

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.codec import Codec, python_type

ETAG, VERSION = "etag", "row_version"

UNWRITTEN = 0
"""The version of a singleton that has no row yet."""

NO_VERSION = -1
"""The version that an etag stands for which the service never gave out."""

_MOST = 2**63 - 1
# Quoted, as RFC 9110 writes a strong validator, and AIP-154 asks for.
_FORM = re.compile('"([0-9a-f]{1,16})"')


def etag_of(version: int) -> str:
    """Return the etag of a version."""
    return f'"{version:x}"'


def version_in(etag: str) -> int | None:
    """Return the version that an etag stands for, None for an empty one: then any version is meant.

    What the service never gave out, a weak etag too, is the etag of no resource.
    """
    if not etag:
        return None
    found = _FORM.fullmatch(etag)
    version = int(found[1], 16) if found else NO_VERSION
    return version if version <= _MOST and etag_of(version) == etag else NO_VERSION


def version_column(field: FieldDescriptor, table: Table) -> Column[Any]:
    """Return the column of the version that an etag is made of.

    Raises:
        DeclarationError: The field is no text, or the table has no such column.
    """
    column = table.c.get(VERSION)
    if field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
        raise DeclarationError(f"{field.full_name} must be a string (AIP-154)")
    if column is None or python_type(column) is not int or column.onupdate is None:
        raise DeclarationError(
            f"{field.full_name} needs a version: make the model of {table.name} tablestakes.Versioned"
        )
    return column


CODEC = Codec(etag_of, lambda etag, _: version_in(etag))
