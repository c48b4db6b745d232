"""The fields by which a caller may filter and order: those that it is told, or it could find out the others."""

from collections.abc import Iterable

from tablestakes.crud.schema.path import Path
from tablestakes.crud.security.row_security import current_security
from tablestakes.errors import FieldViolation, field_not_allowed, invalid_field


def require_told(parameter: str, paths: Iterable[Path]) -> None:
    """Require that the caller is told every field on some paths.

    Args:
        parameter: The field of the request that has them: `filter`.
        paths: The paths.

    Raises:
        StatusError: PERMISSION_DENIED, one of the fields is hidden from the caller.
    """
    security = current_security.get()
    if security is None or not security.rules.hidden:
        return
    for path in paths:
        for field in path.trail:
            if field.full_name in security.rules.hidden:
                problem = f"asks for {field.name}, which you are not told."
                raise field_not_allowed(FieldViolation(parameter, problem, "FIELD_NOT_ALLOWED"))


def require_seen(parameter: str, paths: Iterable[Path]) -> None:
    """Require that the caller may see each row to which some paths lead; an order would tell of all of them.

    Args:
        parameter: The field of the request that has them: `order_by`.
        paths: The paths.

    Raises:
        StatusError: INVALID_ARGUMENT, the caller may not.
    """
    security = current_security.get()
    if security is None:
        return
    for path in paths:
        for hop in path.hops:
            if hop.target.table in security.rules.tables:
                problem = f"goes through {path.trail[0].name}, which leads to resources that you may not see."
                raise invalid_field(parameter, problem, "INVALID_ORDER_BY")
