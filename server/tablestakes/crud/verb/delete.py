"""Delete: one resource (AIP-135), and with `force` everything below it, at any depth.

A resource whose message has `delete_time` is marked, and can be restored (AIP-164); any other is gone for good.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.empty_pb2 import Empty
from grpc import StatusCode

from tablestakes.crud.asks import STRING
from tablestakes.crud.call import Call
from tablestakes.crud.key import Key
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.etag import version_in
from tablestakes.crud.session import Session
from tablestakes.crud.shape import EMPTY, require, require_response
from tablestakes.crud.verb import soft_delete
from tablestakes.crud.verb.verb import Verb
from tablestakes.crud.work import Work
from tablestakes.errors import StatusError, not_found


@dataclass(frozen=True, slots=True)
class ToDelete:
    """A deletion, as a request of a Delete asks for it.

    Attributes:
        name: The resource's name.
        key: The ids in it; None where no resource can have it, which is as well.
        version: The version that the resource must have, None for any.
        force: Whether to delete everything below it as well.
        missing_is_fine: Whether it is no error that there is no such resource.
    """

    name: str
    key: Key | None
    version: int | None
    force: bool
    missing_is_fine: bool


class Deletion:
    """The deletion of resources, one or many.

    Args:
        rpc: The Delete.

    Raises:
        DeclarationError: The request or the response is not of the shape that a Delete needs.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._schema, self._asks = rpc.schema, rpc.asks
        require(rpc.descriptor.input_type, name=STRING)
        require_response(rpc.descriptor, EMPTY)
        depth = len(rpc.schema.names.columns)
        self._below = [(each.rows, each.names.below(depth)) for each in rpc.schema.descendants]

    async def wanted(self, request: Any, before: str = "") -> ToDelete:
        """Return the deletion that a request asks for.

        Args:
            request: The request of the Delete.
            before: The beginning of the paths in errors.

        Raises:
            StatusError: The request is refused.
        """
        asks, key = self._asks, None
        missing_is_fine = asks.allow_missing(request)
        try:
            key = self._schema.names.parse(request.name, f"{before}name")
        except StatusError as error:
            # An id that no row can have.
            if not missing_is_fine or error.code is not StatusCode.NOT_FOUND:
                raise
        version = version_in(asks.etag(request))
        return ToDelete(request.name, key, version, asks.force(request) and bool(self._below), missing_is_fine)

    def work(self, wanted: ToDelete) -> Work[Empty]:
        """Return the work of deleting a resource."""
        key = wanted.key

        def write(session: Session) -> Empty:
            if key is None or not self._remove(session, wanted, key):
                if not wanted.missing_is_fine:
                    raise not_found(wanted.name)
                if key is not None:
                    self._schema.rows.refuse_seen(session, key)
            return Empty()

        return Work(write, atomic=wanted.force, key=key)

    def _remove(self, session: Session, wanted: ToDelete, key: Key) -> bool:
        schema = self._schema
        if wanted.force:
            # Whoever makes a resource below locks this row too, for its foreign key: from here on nobody can, until
            # this transaction ends. SQLite has one writer, and no such clause.
            if not schema.rows.lock(session, key, wanted.version):
                return False
            # Whoever may delete it may delete what is below it, whosever that is.
            with session.elevated():
                for rows, below in self._below:
                    rows.delete_where(session, below, schema.names.bind(key))
        return schema.rows.delete(session, key, wanted.version)


def bind(rpc: Rpc) -> Method:
    """Return the method that deletes a resource."""
    if rpc.schema.removal is not None:
        return soft_delete.bind(rpc, rpc.schema.removal)
    deletion = Deletion(rpc)

    async def delete(call: Call[Any]) -> Work[Empty]:
        return deletion.work(await deletion.wanted(call.request))

    return rpc.method(delete, "delete")


DELETE = Verb("Delete", bind, serves=frozenset({"etag", "allow_missing"}))
