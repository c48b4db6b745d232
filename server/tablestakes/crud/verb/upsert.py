"""An Update that creates what does not exist, where its request allows that (AIP-134, `allow_missing`)."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import protovalidate
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import Key
from tablestakes.crud.method import Rpc
from tablestakes.crud.required import RequiredFields
from tablestakes.crud.schema.view import Part
from tablestakes.crud.session import Session
from tablestakes.crud.work import Work
from tablestakes.errors import FieldViolation, StatusError, invalid_field, invalid_fields, not_found


class Upsert:
    """The upserts of a resource whose ids callers choose.

    Args:
        rpc: The Update.
        body: The field of its request that holds the resource.

    Raises:
        DeclarationError: The resource has no Create by which callers choose the id, or is a singleton.
    """

    def __init__(self, rpc: Rpc, body: str) -> None:
        if rpc.schema.singleton is not None:
            raise DeclarationError(
                f"{rpc.descriptor.full_name}: a singleton is never missing; leave allow_missing out"
            )
        self._schema, self._body = rpc.schema, body
        name = rpc.schema.descriptor.name
        create = rpc.descriptor.containing_service.methods_by_name.get(f"Create{name}")
        self._id = f"{body}_id"
        if create is None or self._id not in create.input_type.fields_by_name:
            raise DeclarationError(
                f"{rpc.descriptor.full_name}: allow_missing needs a Create{name} whose request has {self._id}, for"
                " to create by a name is to choose the id"
            )
        self._request = GetMessageClass(create.input_type)
        self._required = RequiredFields.of(rpc.schema.descriptor, {})
        self._lists = [each for each in rpc.schema.collections.values() if each.writable]

    def key(self, name: str) -> Key:
        """Return the ids in a name under which there may be a resource, or be made one.

        Raises:
            StatusError: INVALID_ARGUMENT, no resource can have the name.
        """
        path = f"{self._body}.name"
        try:
            key = self._schema.names.parse(name, path)
        except StatusError as error:
            if error.code is StatusCode.NOT_FOUND:
                raise invalid_field(path, "has an id that no resource can have.", "INVALID_ID") from None
            raise
        # An id that Create would refuse is none here either.
        for violation in protovalidate.collect_violations(self._request(**{self._id: str(key[-1])})):
            elements = violation.proto.field.elements if violation.proto.field else ()
            if elements and elements[0].field_name == self._id:
                raise invalid_field(path, f"has an id that is none: {violation.proto.message}.", "INVALID_ID")
        return key

    async def work(
        self,
        message: Any,
        key: Key,
        parts: Sequence[Part],
        update: Callable[[Session], Message],
        version: int | None,
    ) -> Work[Message]:
        """Return the work of an upsert.

        Args:
            message: The resource as the caller sent it.
            key: The ids in its name.
            parts: The fields that the mask selects.
            update: Updates the resource, which is there and locked.
            version: The version that the resource must have, None for any. Where the caller sent an etag, the
                resource of which it is was read, and is not made again.
        """
        schema, names = self._schema, self._schema.names
        values, problem = await self._new(message, key)
        lists = [(each.rows, each.replacement(message, self._body)) for each in self._lists if each.is_set(message)]

        def write(session: Session) -> Message:
            connection = session.connection
            for last in (False, True):
                if schema.rows.lock(session, key, version):
                    row = schema.rows.read(session, key)
                    before = None if row is None else schema.full.message(connection, row)
                    return before if before is not None and _same(before, message, parts) else update(session)
                if version is not None:
                    raise not_found(message.name)
                if problem is not None:
                    raise problem
                if names.parent and not schema.has_parent(connection, key[:-1]):
                    raise not_found(names.parent.format(key[:-1]))
                # A second time it is in the way under another name, and the constraint says so.
                row = schema.rows.insert(session, values) if last else schema.rows.insert_absent(session, values)
                if row is not None:
                    break
            assert row is not None  # noqa: S101 - inserted, or an IntegrityError
            for rows, replacement in lists:
                rows.replace(connection, {key[-1]: replacement})
            return schema.full.message(connection, row)

        return Work(write, atomic=True, writes=values, key=key)

    async def _new(self, message: Message, key: Key) -> tuple[dict[str, Any], StatusError | None]:
        """Return the values of a new row, and the status where there can be none."""
        schema = self._schema
        ids = {column.name: value for column, value in zip(schema.names.columns, key, strict=True)}
        if missing := [f"{self._body}.{path}" for path in self._required.missing(message)]:
            absent = (FieldViolation(path, "must be set.", "REQUIRED_FIELD") for path in missing)
            return ids, invalid_fields(*absent)
        fields = [each for each in schema.fields.values() if each.writable]
        sent = (each for each in fields if not each.optional or each.is_set(message))
        try:
            return await schema.values(message, sent, self._body) | ids, None
        except StatusError as error:
            return ids, error


def _same(before: Message, sent: Message, parts: Sequence[Part]) -> bool:
    """Return whether a resource has in some fields what was sent: then it is left as it is (AIP-134)."""
    for part in parts:
        if not part.readable or getattr(before, part.name) != getattr(sent, part.name):
            return False
        field = cast(Any, before).DESCRIPTOR.fields_by_name[part.name]
        if field.has_presence and before.HasField(part.name) != sent.HasField(part.name):
            return False
    return True
