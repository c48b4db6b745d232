"""The library: a second service, made with the engine as any other team would make one."""

import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc import StatusCode
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from sqlalchemy import Column, String, select

from tablestakes import (
    Arrival,
    Call,
    Caller,
    Codec,
    Gate,
    Method,
    Resource,
    Schema,
    Service,
    Session,
    Settings,
    StatusError,
    Work,
    not_found,
)
from tests.library.models import Base, Book, Note, Reader, Shelf
from tests.library.stubs import library_pb2


class LibrarySettings(Settings):
    """The library's settings."""

    model_config = SettingsConfigDict(env_prefix="LIBRARY_")

    api_key: SecretStr = Field(SecretStr(""), description="What callers send as x-api-key; empty lets everyone in.")


def gates(settings: LibrarySettings) -> Sequence[Gate]:
    """Return the gate that asks for the API key, where one is set."""
    key = settings.api_key.get_secret_value()
    if not key:
        return ()

    def authenticate(arrival: Arrival, _method: Method) -> None:
        sent = str(arrival.metadata.get("x-api-key", ""))
        if not hmac.compare_digest(sent.encode(), key.encode()):
            raise StatusError(StatusCode.UNAUTHENTICATED, "API_KEY_INVALID", "Send the API key as x-api-key.")
        arrival.caller = Caller("librarian")

    return (authenticate,)


def size_as_text(field: FieldDescriptor, column: Column[Any]) -> Codec | None:
    """Return the codec that keeps a Size as text: `90x200`."""
    if field.message_type is not library_pb2.Size.DESCRIPTOR or not isinstance(column.type, String):
        return None

    def to_message(text: str) -> Message:
        width, height = map(int, text.split("x"))
        size: Message = library_pb2.Size(width=width, height=height)
        return size

    return Codec(to_message, lambda size, _: f"{size.width}x{size.height}")


async def lend_book(books: Schema, call: Call[Any]) -> Work[Message]:
    """Lend a book that nobody has."""
    name = call.request.name
    key = books.names.parse(name, "name")
    borrower = books.field("borrower").codec.to_column
    assert borrower is not None
    values = {"borrower_id": borrower(call.request.borrower, "borrower")}

    def lend(session: Session) -> Message:
        wanted = select(Book.borrower_id).where(books.names.where()).with_for_update()
        found = session.connection.execute(wanted, books.names.bind(key)).first()
        if found is None:
            raise not_found(name)
        if found.borrower_id is not None:
            raise StatusError(
                StatusCode.FAILED_PRECONDITION, "LENT", f"{name} is lent.", metadata={"resource": name}
            )
        row = books.rows.update(session, key, values)
        assert row is not None
        return books.full.message(session.connection, row)

    return Work(lend, atomic=True, writes=values, key=key)


SERVICE = Service(
    name="library",
    version="1",
    resources=(
        Resource(message=library_pb2.Reader, model=Reader),
        Resource(message=library_pb2.Shelf, model=Shelf),
        Resource(message=library_pb2.Book, model=Book, methods={"LendBook": lend_book}),
        Resource(message=library_pb2.Note, model=Note),
    ),
    metadata=Base.metadata,
    migrations=Path(__file__).parent / "migrations",
    settings=LibrarySettings,
    codecs=(size_as_text,),
    gates=gates,
)
