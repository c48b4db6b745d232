"""A standard method, for any resource."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor

from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.schema.name import plural_of


@dataclass(frozen=True)
class Verb:
    """A standard method: the shape of its request, and its SQL.

    Attributes:
        name: The verb with which its methods' names begin: `Get`.
        bind: Returns the method that serves an RPC. It raises DeclarationError where the request or the response is
            not of the shape that the verb needs.
        plural: Whether the resource's plural follows in the methods' names: `ListUsers`.
        streams: Whether it answers with a stream of responses.
        serves: The fields of `UNSERVED` that it serves all the same.
    """

    name: str
    bind: Callable[[Rpc], Method]
    plural: bool = False
    streams: bool = False
    serves: frozenset[str] = frozenset()

    def method_name(self, message: Descriptor) -> str:
        """Return the name of the method for a resource: `GetUser`."""
        return self.name + (plural_of(message) if self.plural else message.name)
