"""Fields that hold the names of other resources (AIP-122), and the foreign keys that keep them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import Column, Connection, select

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import option
from tablestakes.crud.schema.codec import Codec
from tablestakes.crud.schema.deletion import live
from tablestakes.crud.schema.name import Names
from tablestakes.errors import StatusError, invalid_field


@dataclass(frozen=True)
class Reference:
    """The resources that a field refers to.

    Attributes:
        names: Their names.
    """

    names: Names

    @property
    def codec(self) -> Codec:
        """Keeps a name as the id in it, in a foreign key's column; an empty name is NULL."""
        return Codec(lambda id_: self.names.format((id_,)), self.id_in)

    def id_in(self, name: str, path: str) -> Any | None:
        """Return the id in a name, None for an empty one.

        Raises:
            StatusError: INVALID_ARGUMENT, it is not a name of such a resource, or of one that cannot exist.
        """
        if not name:
            return None
        try:
            (id_,) = self.names.parse(name, path)
        except StatusError as error:
            raise error if error.violations else missing(path, name) from None
        return id_


def reference_to(field: FieldDescriptor, names: Mapping[str, Names]) -> Reference | None:
    """Return the resources that a field refers to by its `google.api.resource_reference`; None for other fields.

    Raises:
        DeclarationError: It refers to a type that is not served, or that one column cannot name.
    """
    kind: str = option(field, resource_pb2.resource_reference).type
    if not kind or field.type != FieldDescriptor.TYPE_STRING:
        return None
    if kind not in names:
        raise DeclarationError(f"{field.full_name} refers to {kind}, which is not served; {likely(kind, names)}")
    if len(names[kind].columns) != 1:
        raise DeclarationError(f"{field.full_name} refers to {kind}, whose name needs more than one column")
    return Reference(names[kind])


def missing(path: str, name: str) -> StatusError:
    """Return INVALID_ARGUMENT for a reference to a resource that does not exist."""
    return invalid_field(path, f"{name} does not exist.", "REFERENCE_NOT_FOUND")


def existing(
    connection: Connection, column: Column[Any], ids: Collection[Any], *, keep: bool = False, deleted: bool = False
) -> set[Any]:
    """Return those of some ids that a foreign key's column may hold, because their rows exist and are not deleted.

    Args:
        connection: The connection to ask on.
        column: The foreign key's column.
        ids: The ids.
        keep: Whether nobody may delete those rows before the transaction ends.
        deleted: Whether rows that are deleted softly count too.
    """
    (foreign_key,) = column.foreign_keys
    target = foreign_key.column
    found = select(target).where(target.in_(ids), *([] if deleted else live(target.table)))
    if keep:
        # The lock that a foreign key takes as well. SQLite has one writer, and no such clause.
        found = found.with_for_update(read=True, key_share=True)
    return set(connection.scalars(found))
