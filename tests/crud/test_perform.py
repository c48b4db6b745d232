"""The work of RPCs, run on each database: forced deletes, filled columns, and functions of a service's own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from sqlalchemy import ForeignKey, ForeignKeyConstraint, MetaData, UniqueConstraint, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tablestakes import (
    NAMING_CONVENTION,
    Audited,
    Call,
    Caller,
    Instant,
    Method,
    Resource,
    Schema,
    Serial,
    StatusError,
    Work,
)
from tablestakes.crud.bind import bind
from tablestakes.crud.once import Once
from tablestakes.crud.perform import perform
from tablestakes.crud.query.token import PageTokens
from tablestakes.database import Database, open_database
from tests.crud.stubs import stubs_of
from tests.serving import settings_for

RESOURCE = """
message {name} {{
  option (google.api.resource) = {{ type: "store.example.com/{name}" pattern: "{pattern}" plural: "{plural}" }};
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  string label = 2;
}}
message Create{name}Request {{ string parent = 1; {name} {lower} = 2; bool validate_only = 3; }}
message Update{name}Request {{ {name} {lower} = 1; google.protobuf.FieldMask update_mask = 2; }}
message Delete{name}Request {{ string name = 1; bool force = 2; }}
"""
PATTERNS = {
    "Rack": "racks/{rack}",
    "Shelf": "racks/{rack}/shelves/{shelf}",
    "Box": "racks/{rack}/shelves/{shelf}/boxes/{box}",
    "Note": "racks/{rack}/shelves/{shelf}/boxes/{box}/notes/{note}",
}
PLURALS = {"Rack": "racks", "Shelf": "shelves", "Box": "boxes", "Note": "notes"}
store_pb2 = stubs_of(
    "store",
    """
syntax = "proto3";
package store.v1;
import "google/api/field_behavior.proto";
import "google/api/resource.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
service StoreService {
"""
    + "".join(
        f"  rpc Create{name}(Create{name}Request) returns ({name});\n"
        f"  rpc Update{name}(Update{name}Request) returns ({name});\n"
        f"  rpc Delete{name}(Delete{name}Request) returns (google.protobuf.Empty);\n"
        for name in PATTERNS
    )
    + "  rpc AddRack(CreateRackRequest) returns (Rack);\n}\n"
    + "".join(
        RESOURCE.format(name=name, lower=name.lower(), pattern=pattern, plural=PLURALS[name])
        for name, pattern in PATTERNS.items()
    ),
)


class Base(Audited, DeclarativeBase):
    """The base of the four tables, each below the one before it."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so


class Rack(Base):
    """A table with a column that SQLAlchemy fills with each change."""

    __tablename__ = "racks"

    id: Mapped[Serial]
    label: Mapped[str] = mapped_column(unique=True)
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: 7)
    touch_time: Mapped[datetime | None] = mapped_column(onupdate=func.now())


class Shelf(Base):
    """A table below racks."""

    __tablename__ = "shelves"

    id: Mapped[Serial]
    rack_id: Mapped[int] = mapped_column(ForeignKey(Rack.id))
    label: Mapped[str]

    __table_args__ = (UniqueConstraint("rack_id", "id"),)


class Box(Base):
    """A table below shelves."""

    __tablename__ = "boxes"

    id: Mapped[Serial]
    rack_id: Mapped[int]
    shelf_id: Mapped[int]
    label: Mapped[str]

    __table_args__ = (
        ForeignKeyConstraint(["rack_id", "shelf_id"], [Shelf.rack_id, Shelf.id]),
        UniqueConstraint("rack_id", "shelf_id", "id"),
    )


class Note(Base):
    """A table below boxes."""

    __tablename__ = "notes"

    id: Mapped[Serial]
    rack_id: Mapped[int]
    shelf_id: Mapped[int]
    box_id: Mapped[int]
    label: Mapped[str]

    __table_args__ = (ForeignKeyConstraint(["rack_id", "shelf_id", "box_id"], [Box.rack_id, Box.shelf_id, Box.id]),)


MODELS: dict[str, type[Base]] = {"Rack": Rack, "Shelf": Shelf, "Box": Box, "Note": Note}


async def add_rack(racks: Schema, call: Call[Any]) -> Work[Any]:
    """Create a rack, as a service's own function does it."""
    values = {"label": call.request.rack.label}

    def write(session: Any) -> Any:
        return racks.full.message(session.connection, racks.rows.insert(session, values))

    return Work(write, writes=values)


@dataclass(frozen=True)
class Store:
    """A database with the four tables, and the methods that work on it."""

    database: Database
    methods: dict[str, Method]

    async def call(self, method_name: str, subject: str | None = None, /, **fields: Any) -> Any:
        """Call a method, and return its response."""
        method = self.methods[method_name]
        call = Call(method.request(**fields), Caller(subject))
        reply = await perform(method, call, self.database, Once())
        return method.response.FromString(reply.data)

    async def refused(self, method_name: str, /, **fields: Any) -> StatusError:
        """Return the error of a call that must fail."""
        with pytest.raises(StatusError) as caught:
            await self.call(method_name, **fields)
        return caught.value

    async def row(self, model: type[Base]) -> Any:
        """Return the one row of a table."""
        return await self.database.run(lambda connection: connection.execute(select(model.__table__)).one())

    async def counts(self) -> list[int]:
        """Return how many rows each table has, from the top to the bottom."""
        statements = [select(func.count()).select_from(model.__table__) for model in MODELS.values()]
        return await self.database.run(lambda connection: [connection.scalar(each) or 0 for each in statements])


@pytest.fixture
async def store(empty_url: str) -> AsyncIterator[Store]:
    """The four tables, empty."""
    database = open_database(settings_for(empty_url))
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    resources = [
        Resource(
            message=getattr(store_pb2, name),
            model=model,
            methods={"AddRack": add_rack} if name == "Rack" else {},
        )
        for name, model in MODELS.items()
    ]
    yield Store(database, {method.name: method for method in bind(resources, PageTokens(b"key"))})
    await database.close()


async def fill(store: Store, label: str) -> list[str]:
    """Create one row in each table, each below the one before, and return their names."""
    names: list[str] = []
    for name in PATTERNS:
        made = await store.call(
            f"Create{name}", parent=names[-1] if names else "", **{name.lower(): {"label": label}}
        )
        names.append(made.name)
    return names


@pytest.mark.parametrize("depth", range(4))
async def test_force_deletes_everything_below_at_any_depth(store: Store, depth: int) -> None:
    """A delete with `force` takes the resource and all that is below it, and nothing beside it or above it."""
    await fill(store, "beside")
    names = await fill(store, "mine")
    await store.call(f"Delete{list(PATTERNS)[depth]}", name=names[depth], force=True)
    assert await store.counts() == [2] * depth + [1] * (4 - depth)


@pytest.mark.parametrize("depth", range(3))
async def test_without_force_a_resource_with_others_below_stays(store: Store, depth: int) -> None:
    """A delete without `force` of a resource that has any below it is HAS_CHILDREN, and deletes nothing."""
    names = await fill(store, "mine")
    error = await store.refused(f"Delete{list(PATTERNS)[depth]}", name=names[depth])
    assert (error.code, error.reason) == (StatusCode.FAILED_PRECONDITION, "HAS_CHILDREN")
    assert error.metadata == {"resource": names[depth]}
    assert await store.counts() == [1, 1, 1, 1]
    await store.call("DeleteNote", name=names[3])
    assert await store.counts() == [1, 1, 1, 0]


async def test_an_onupdate_is_filled_with_each_update(store: Store) -> None:
    """A column with an onupdate, of Python's or of the database's, is filled when a row changes, and not before."""
    made = await store.call("CreateRack", rack={"label": "first"})
    row = await store.row(Rack)
    assert (row.touched, row.touch_time) == (0, None)
    await store.call(
        "UpdateRack", rack={"name": made.name, "label": "second"}, update_mask=FieldMask(paths=["label"])
    )
    row = await store.row(Rack)
    assert (row.label, row.touched) == ("second", 7)
    assert row.touch_time is not None


async def test_the_audit_columns_are_filled_by_the_engine(store: Store) -> None:
    """Create fills all four audit columns, with one instant; Update changes the two of the last change."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = await store.call("CreateRack", "ann", rack={"label": "first"})
    row = await store.row(Rack)
    assert (row.created_by, row.updated_by) == ("ann", "ann")
    assert before < row.create_time == row.update_time
    await store.call("UpdateRack", "bob", rack={"name": made.name, "label": "second"})
    after = await store.row(Rack)
    assert (after.created_by, after.updated_by, after.create_time) == ("ann", "bob", row.create_time)
    assert after.update_time > row.update_time


@pytest.mark.parametrize("method", ["CreateRack", "AddRack"])
async def test_a_function_has_the_standing_of_a_standard_method(store: Store, method: str) -> None:
    """A function's work is audited, rehearsed by `validate_only`, and its violated constraint gets its field."""
    checked = await store.call(method, rack={"label": "same"}, validate_only=True)
    assert checked.label == "same"
    assert await store.counts() == [0, 0, 0, 0]
    await store.call(method, "ann", rack={"label": "same"})
    row = await store.row(Rack)
    assert (row.created_by, row.updated_by) == ("ann", "ann")
    for validate_only in (False, True):
        error = await store.refused(method, rack={"label": "same"}, validate_only=validate_only)
        assert error.code is StatusCode.ALREADY_EXISTS
        assert [violation.field for violation in error.violations] == ["rack.label"]
    assert await store.counts() == [1, 0, 0, 0]
