"""The one place that decides how the work of an RPC is run."""

from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.refused import refused
from tablestakes.crud.session import Session
from tablestakes.database import Database

R = TypeVar("R")


async def perform(method: Method, call: Call[Any], database: Database) -> Message:
    """Serve an RPC: let its method understand the request, and run the work that it returns.

    Args:
        method: The method.
        call: The call.
        database: The database to work on.

    Raises:
        StatusError: The method refused the request, or the database refused a value of it.
        sqlalchemy.exc.SQLAlchemyError: Anything else that the database or the pool said.
    """
    work = await method.serve(call)

    def apply(connection: Connection) -> Message:
        response: Message = work.apply(Session(connection, call.caller))
        return response

    try:
        if method.asks.validate_only(call.request):
            return await database.rehearse(apply)
        if work.atomic:
            return await database.transact(apply)
        # A statement by itself is one round trip; BEGIN and COMMIT would make it three.
        return await database.run(apply, reads=method.reads)
    except IntegrityError as error:
        explained = await refused(method, call.request, work, error, database)
        if explained is None:
            raise
        raise explained from error
