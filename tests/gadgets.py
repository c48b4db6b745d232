"""The tests' own domain: a resource that the marketplace does not have, and an RPC that misbehaves on demand."""

import asyncio
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, mapped_column

from protos.generate import generate
from tablestakes.crud import Plan, Resource
from tablestakes.database import Database
from marketplace_service.models.declarative import Base, Serial

# Kept for the life of the process, and removed with it.
_STUBS = tempfile.TemporaryDirectory(prefix="tablestakes-gadgets-")
generate(Path(__file__).parent / "proto", Path(_STUBS.name))
sys.path.append(_STUBS.name)

from gadget.v1 import gadget_pb2, gadget_pb2_grpc  # type: ignore[import-not-found] # noqa: E402 - made just above

__all__ = ["CANARY", "GADGET", "Gadget", "gadget_pb2", "gadget_pb2_grpc"]

CANARY = "canary-4d1f"
"""What no caller may ever be told."""


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


async def poke(_plan: Plan, database: Database, request: Any) -> Any:
    """Misbehave in the way that the request asks for."""
    match request.how:
        case "sleep":
            await asyncio.sleep(request.seconds)
        case "raise":
            raise RuntimeError(f"{CANARY} in an exception")
        case "sql":
            wrong = text(f"SELECT '{CANARY}' FROM nowhere")  # noqa: S608 - it is a canary
            await database.run(lambda connection: connection.execute(wrong))
        case "cancel":
            raise asyncio.CancelledError(CANARY)
        case "slow":
            sleep, parameters = text("SELECT pg_sleep(:seconds)"), {"seconds": request.seconds}
            await database.run(lambda connection: connection.execute(sleep, parameters).first())
        case "repeat":
            for _ in range(10):
                await database.run(lambda connection: connection.execute(select(Gadget.id).limit(1)).all())
        case "wrong type":
            return "not a message"
    return gadget_pb2.Gadget(name="gadgets/0")


GADGET = Resource(message=gadget_pb2.Gadget, model=Gadget, methods={"PokeGadget": poke})
