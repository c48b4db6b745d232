"""The policies of methods: each method has one, or the service does not start."""

from collections.abc import Iterable, Sequence

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method
from tablestakes.crud.resource import Resource
from tablestakes.policy.explain import rows_of


def require_policies(methods: Iterable[Method]) -> None:
    """Require that it is said of each method who may call it.

    Raises:
        DeclarationError: Of some it is not.
    """
    if unsaid := [each.path for each in methods if each.access is None]:
        raise DeclarationError(
            f"nothing says who may call {', '.join(unsaid)}: set its option "
            "(tablestakes_access.v1.access), or declare `reads`, `writes` or `access` of its Resource"
        )


def table(methods: Sequence[Method], resources: Sequence[Resource]) -> list[tuple[str, ...]]:
    """Return who may call each method, and which rows of its resource each role may use, as lines of a table."""
    declared = {resource.descriptor.full_name: resource for resource in resources}
    lines: list[tuple[str, ...]] = [("RPC", "WHO MAY CALL", "ROLE", "ROWS")]
    for method in methods:
        resource = declared[method.schema.descriptor.full_name]
        first = (method.path, str(method.access or "nobody: nothing says it"))
        rows = [(to, read if method.reads else write) for to, read, write in rows_of(resource)]
        for index, (to, which) in enumerate(rows or [("anyone", "every row")]):
            lines.append((*(first if index == 0 else ("", "")), to, which))
    return lines
