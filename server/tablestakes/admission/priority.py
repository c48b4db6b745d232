"""The priority of a method: which calls go first, and which are given up first, when there are too many."""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method

# Verbs that work through many resources in one call, and whose callers are programs that can come back.
SHEDDABLE_VERBS = ("Batch", "Export", "Purge")


class Priority(IntEnum):
    """The priority of a method; health goes before all of them, for no admission is asked about it.

    Attributes:
        CRITICAL: People wait for it, or money does: first to be served, and last to be refused.
        NORMAL: Whatever is not declared otherwise.
        SHEDDABLE: Programs that can come back, such as batches and exports: first to be refused.
    """

    CRITICAL = 0
    NORMAL = 1
    SHEDDABLE = 2

    @property
    def label(self) -> str:
        """Its name in metrics: `critical`."""
        return self.name.lower()


def priorities(methods: Iterable[Method], declared: Mapping[str, Priority]) -> dict[str, Priority]:
    """Return the priority of each method by its path.

    Args:
        methods: The methods of the service.
        declared: Priorities by full name, `marketplace.v1.OrderService/PayOrder`, or of all methods of a service:
            `marketplace.v1.OrderService`. The nearer one wins.

    Raises:
        DeclarationError: A name is that of no method and no service.
    """
    found: dict[str, Priority] = {}
    used: set[str] = set()
    for method in methods:
        priority = Priority.SHEDDABLE if method.name.startswith(SHEDDABLE_VERBS) else Priority.NORMAL
        for name in (method.service, f"{method.service}/{method.name}"):
            if name in declared:
                used.add(name)
                priority = declared[name]
        found[method.path] = priority
    if unknown := sorted(declared.keys() - used):
        raise DeclarationError(
            f"Service.priorities names {unknown[0]}, which is neither a method, such as"
            f" {next(iter(found), '/package.Service/Method')[1:]}, nor a service of methods"
        )
    return found
