"""The one place that decides how the work of an RPC is run."""

from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tablestakes.crud.call import Call
from tablestakes.crud.clearing import hiding
from tablestakes.crud.denied import denied
from tablestakes.crud.encode import encode
from tablestakes.crud.method import Method
from tablestakes.crud.once import Once
from tablestakes.crud.refused import refused
from tablestakes.crud.reply import Reply
from tablestakes.crud.request_id import request_id_of
from tablestakes.crud.schema.deletion import DanglingError
from tablestakes.crud.security.row_security import current_security
from tablestakes.crud.session import Session
from tablestakes.crud.work import Work
from tablestakes.database import Database
from tablestakes.database.snapshot import Steps
from tablestakes.errors import StatusError

T = TypeVar("T")

# How often work is done at the most whose refusal is no longer true by the time that it is explained.
TRIES = 4

Run = Callable[[Callable[[Connection], T]], Awaitable[T]]


async def perform(method: Method, call: Call[Any], database: Database, once: Once) -> Reply:
    """Serve an RPC: let its method understand the request, and run the work that it returns.

    Args:
        method: The method.
        call: The call.
        database: The database to work on.
        once: Does the work of one call alone of those with the same request id.

    Raises:
        StatusError: The method refused the request, or the database refused a value of it.
        sqlalchemy.exc.SQLAlchemyError: Anything else that the database or the pool said.
    """
    given = None if method.reads else request_id_of(method, call)
    rehearsed = method.asks.validate_only(call.request)
    if given is None or rehearsed:
        work = await method.serve(call)
        if rehearsed or work.atomic or _is_looked_at(method, work):
            keep = database.rehearse if rehearsed else database.transact
            # Inside, so that an answer which is too large undoes the work.
            return await _run(method, call, work, database, keep, lambda of: Reply(encode(_apply(work, call, of))))
        # A statement by itself is one round trip; BEGIN and COMMIT would make it three.
        run = partial(database.run, reads=method.reads)
        return Reply(encode(await _run(method, call, work, database, run, partial(_apply, work, call))))

    async def first() -> Reply:
        work = await method.serve(call)

        def apply(connection: Connection) -> Reply:
            return once.apply(given, connection, partial(_apply, work, call))

        return await _run(method, call, work, database, database.transact, apply)

    return await once.answer(given, first)


def _is_looked_at(method: Method, work: Work[Message]) -> bool:
    """Return whether work that is one statement needs a transaction: somebody looks at what it has written."""
    if method.reads:
        return False
    security = current_security.get()
    written = None if work.key is None else work.writes
    return bool(method.schema.on_write) or (security is not None and security.checks(method.schema.table, written))


def _apply(work: Work[Message], call: Call[Any], connection: Connection) -> Message:
    return _told(work.apply(Session(connection, call.caller)))


def _told(response: Message) -> Message:
    """Return a response without the fields that its caller is not told."""
    security = current_security.get()
    if security is not None and security.rules.hidden:
        hiding(security.rules.hidden).clear(response)
    return response


async def _run(
    method: Method,
    call: Call[Any],
    work: Work[Message],
    database: Database,
    run: Run[T],
    apply: Callable[[Connection], T],
) -> T:
    """Run work, and explain it where a constraint refuses it."""
    for left in reversed(range(TRIES)):
        try:
            return await run(apply)
        except StatusError as error:
            raise await denied(method, error, database) from error.__cause__
        except (IntegrityError, DanglingError) as error:
            explained = await refused(method, call, work, error, database)
            if explained is None:
                raise
            if explained.code is not StatusCode.ABORTED or not left:
                raise explained from error
    raise AssertionError  # the last try has returned or raised


async def perform_stream(method: Method, call: Call[Any], database: Database, seconds: float) -> Steps[Message]:
    """Begin to serve an RPC with a stream of responses: let its method understand the request.

    Args:
        method: The method; the work that it returns gives an iterator of responses.
        call: The call.
        database: The database to read.
        seconds: How long the stream may take.

    Returns:
        What reads the responses, each when it is asked for.

    Raises:
        StatusError: The method refused the request.
    """
    work = await method.serve(call)

    def read(connection: Connection) -> Iterator[Message]:
        responses: Generator[Message, None, None] = work.apply(Session(connection, call.caller))
        try:
            for response in responses:
                yield _told(response)
        finally:
            responses.close()

    return database.snapshot(read, seconds)
