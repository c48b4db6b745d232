"""Between the type of a field and the type of its column."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import Column

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema.codec.crossing import Codec, CodecFor, plain, python_type
from tablestakes.crud.schema.codec.document import document
from tablestakes.crud.schema.codec.fix import fix, type_name
from tablestakes.crud.schema.codec.single import array, single

__all__ = ["Codec", "CodecFor", "codec_for", "plain", "python_type"]


def codec_for(field: FieldDescriptor, column: Column[Any], own: Sequence[CodecFor] = ()) -> Codec:
    """Return how a field's values are kept in a column.

    Args:
        field: The field.
        column: The column.
        own: A service's own codecs. They are asked first, in their order, and the first that knows a way has it.

    Raises:
        DeclarationError: There is no way between the two types.
    """
    for codec_of in own:
        if (codec := codec_of(field, column)) is not None:
            return codec
    codec = document(field, plain(column.type), nullable=bool(column.nullable))
    if codec is None and field.is_repeated:
        codec = array(field, plain(column.type))
    elif codec is None:
        # As NULL is read by a field without presence, so it is written.
        codec = single(field, column.type, empty_is_null=bool(column.nullable) and not field.has_presence)
    if codec is None:
        raise DeclarationError(
            f"{field.full_name} cannot be kept in the column {column.table.name}.{column.name}:"
            f" no codec between {type_name(field)} and {column.type!r}; {fix(field, column)}"
        )
    return codec
