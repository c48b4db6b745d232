"""The tests' own domain: a resource that the marketplace does not have, and an RPC that misbehaves on demand."""

import asyncio
import atexit
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, MetaData, String, UniqueConstraint, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from protos.generate import generate
from tablestakes import (
    KNOWN,
    NAMING_CONVENTION,
    PUBLIC,
    Audited,
    Call,
    FreshIds,
    Instant,
    Resource,
    Schema,
    Serial,
    Session,
    Work,
)

# Kept for the life of the process, and removed with it.
_STUBS = tempfile.TemporaryDirectory(prefix="tablestakes-gadgets-")
atexit.register(_STUBS.cleanup)
generate(Path(__file__).parent / "proto", Path(_STUBS.name))
sys.path.append(_STUBS.name)

from gadget.v1 import gadget_pb2, gadget_pb2_grpc  # type: ignore[import-not-found] # noqa: E402 - made just above

__all__ = ["CANARY", "GADGET", "Gadget", "gadget_pb2", "gadget_pb2_grpc"]

CANARY = "canary-4d1f"
"""A text that no caller may ever see."""


class Base(Audited, FreshIds, DeclarativeBase):
    """The base of the one table, which no migration knows."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so


class Gadget(Base):
    """The table of gadgets."""

    __tablename__ = "gadgets"

    id: Mapped[Serial]
    label: Mapped[str] = mapped_column(String(40))
    series: Mapped[str] = mapped_column(String(40), default="")
    weight: Mapped[int]
    level: Mapped[int] = mapped_column(default=0)
    ratio: Mapped[float] = mapped_column(default=0.0)
    blob: Mapped[bytes] = mapped_column(default=b"")
    note: Mapped[str | None]
    due_time: Mapped[datetime | None]
    origin: Mapped[str] = mapped_column(String(40), default="")
    secret: Mapped[str] = mapped_column(String(40), default="")
    twin_id: Mapped[int | None] = mapped_column(ForeignKey("gadgets.id"))

    __table_args__ = (UniqueConstraint(label, series), CheckConstraint(level < 10, name="level"))


async def poke(_gadgets: Schema, call: Call[Any]) -> Work[Any]:
    """Misbehave in the way that the request asks for."""
    request = call.request
    match request.how:
        case "sleep":
            await asyncio.sleep(request.seconds)
        case "raise":
            raise RuntimeError(f"{CANARY} in an exception")
        case "sql":
            return Work(_wrong_statement)
        case "cancel":
            raise asyncio.CancelledError(CANARY)
        case "slow":
            return Work(lambda session: _sleep(session, request.seconds))
        case "slow in a transaction":
            return Work(lambda session: _sleep(session, request.seconds), atomic=True)
        case "repeat":
            return Work(_repeat)
        case "wrong type":
            return Work(lambda _: "not a message")
    return Work(_poked)


def _poked(_session: Session) -> Any:
    return gadget_pb2.Gadget(name="gadgets/0")


def _wrong_statement(session: Session) -> Any:
    session.connection.execute(text(f"SELECT '{CANARY}' FROM nowhere"))  # noqa: S608 - it is a canary


def _sleep(session: Session, seconds: float) -> Any:
    session.connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds}).first()
    return _poked(session)


def _repeat(session: Session) -> Any:
    for _ in range(10):
        session.connection.execute(select(Gadget.id).limit(1)).all()
    return _poked(session)


GADGET = Resource(message=gadget_pb2.Gadget, model=Gadget, reads=PUBLIC, writes=KNOWN, methods={"PokeGadget": poke})
