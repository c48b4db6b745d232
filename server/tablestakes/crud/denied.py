"""A write of what its caller may see and not write: it is refused as such, and not as of what is not there."""

from grpc import StatusCode
from sqlalchemy import Connection

from tablestakes.crud.method import Method
from tablestakes.crud.security.row_security import current_security
from tablestakes.crud.session import Session
from tablestakes.database import Database
from tablestakes.errors import StatusError


async def denied(method: Method, error: StatusError, database: Database) -> StatusError:
    """Return the status of a write that was refused with another one.

    What may not be written is not there for the statements of a write. Here is told whether it is there for the
    caller: then NOT_FOUND becomes PERMISSION_DENIED.

    Args:
        method: The method.
        error: The status with which it was refused.
        database: The database.
    """
    security, schema = current_security.get(), method.schema
    name = error.metadata.get("resource", "")
    if security is None or security.target is None or error.code is not StatusCode.NOT_FOUND:
        return error
    if schema.table not in security.rules.tables or not schema.names.matches(name):
        return error
    key = schema.names.parse(name, "name")

    def look(connection: Connection) -> StatusError:
        try:
            schema.rows.refuse_seen(Session(connection), key)
        except StatusError as seen:
            return seen
        return error

    return await database.run(look, reads=True)
