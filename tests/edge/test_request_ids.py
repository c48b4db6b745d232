"""A request_id, beyond what the contract suite holds: its scope, waits for it, its age, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import func, insert, select, text

from marketplace_service import SERVICE as MARKETPLACE
from tablestakes import Arrival, Caller, Method, StatusError
from tablestakes.app import App, start
from tablestakes.crud import once as once_module
from tablestakes.crud.clearing import UNTOLD
from tablestakes.crud.once import BATCH, Once
from tablestakes.database.request_ids import TABLE
from tablestakes.database.schema_error import SchemaError
from tablestakes.settings import SettingsError
from tablestakes.sweeper import Sweeper
from tablestakes.testing.contract.statements import counting
from tablestakes.testing.serving import serving as serving_any
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.serving import eventually, make_schema, serving, settings_for
from tests.status import Refusal, refusal

DAY = 86_400.0
KEPT = "SELECT id, digest, response FROM request_ids"
PASSWORD = "a canary of a password 7c1d"


def user(**fields: Any) -> Any:
    """Return a user whom no other test has."""
    name = f"u{uuid4().hex[:20]}"
    return user_pb2.User(**{"email": f"{name}@example.com", "username": name} | fields)


def create(**fields: Any) -> Any:
    """Return the request of a CreateUser with an id of its own."""
    return user_pb2.CreateUserRequest(**{"user": user(), "request_id": str(uuid4())} | fields)


async def outcome(call: Any) -> tuple[bytes, bool]:
    """Return the bytes of an answer, and whether it is one that was given before."""
    response = await call
    return response.SerializeToString(), ("idempotent-replayed", "true") in tuple(await call.initial_metadata())


async def refused(call: Any) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def rows(app: App, statement: str) -> list[Any]:
    """Return the rows of a statement."""
    return await app.database.run(lambda connection: list(connection.execute(text(statement)).all()))


async def test_another_password_is_another_request(users: Any, app: App) -> None:
    """The same id with another INPUT_ONLY value is refused, and no part of a password is kept with the id."""
    first = create(user=user(password=PASSWORD))
    await users.CreateUser(first)
    other = user_pb2.CreateUserRequest()
    other.CopyFrom(first)
    other.user.password = PASSWORD + "!"
    told = await refused(users.CreateUser(other))
    assert (told.code, told.reasons) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"request_id": "REQUEST_ID_REUSED"},
    )
    kept = b"".join(b"".join(map(bytes, row)) for row in await rows(app, KEPT))
    assert kept
    for hidden in (PASSWORD.encode(), first.request_id.encode(), b"$argon2", b"password"):
        assert hidden not in kept


async def test_an_id_in_capitals_is_the_same_id(users: Any) -> None:
    """A UUID means the same in either case, and so does the request around it."""
    request = create()
    first, _ = await outcome(users.CreateUser(request))
    request.request_id = request.request_id.upper()
    assert await outcome(users.CreateUser(request)) == (first, True)


async def test_an_id_belongs_to_its_method(users: Any) -> None:
    """The same id means something else to another method."""
    request = create()
    made = await users.CreateUser(request)
    delete = user_pb2.DeleteUserRequest(name=made.name, request_id=request.request_id)
    data, replayed = await outcome(users.DeleteUser(delete))
    assert not replayed
    assert user_pb2.User.FromString(data).HasField("delete_time")


async def test_what_failed_may_be_repeated(users: Any) -> None:
    """A Create that a taken value was in the way of takes effect, by the same id, once that is free."""
    owner = await users.CreateUser(user_pb2.CreateUserRequest(user=user()))
    request = create(user=user(email=owner.email))
    told = await refused(users.CreateUser(request))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    await users.DeleteUser(user_pb2.DeleteUserRequest(name=owner.name))
    first, replayed = await outcome(users.CreateUser(request))
    assert not replayed
    assert await outcome(users.CreateUser(request)) == (first, True)


async def test_without_an_id_a_write_is_one_statement(users: Any, app: App) -> None:
    """A Create runs one statement, and with an id two more: one to have it, and one to keep the answer."""
    ran = []
    for request in (user_pb2.CreateUserRequest(user=user()), create()):
        with counting(app) as statements:
            await users.CreateUser(request)
        ran.append(len(statements))
    assert ran == [1, 3]


async def test_a_repetition_waits_for_the_first(gadgets: Any) -> None:
    """Calls with the id of one that is under way get its answer, and its work is done once."""
    request = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=0.5, request_id=str(uuid4()))
    answers = await asyncio.gather(*(outcome(gadgets.PokeGadget(request)) for _ in range(5)))
    assert sorted(replayed for _, replayed in answers) == [False, True, True, True, True]
    assert len({data for data, _ in answers}) == 1


async def test_a_wait_has_an_end(gadgets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for another one for too long is ABORTED, with RetryInfo, and gets the answer later."""
    monkeypatch.setattr(once_module, "PATIENCE", 0.1)
    request = gadget_pb2.PokeGadgetRequest(how="sleep", seconds=1, request_id=str(uuid4()))
    first = gadgets.PokeGadget(request)
    told = await refused_late(gadgets, request)
    assert (told.code, told.info.reason) == (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS")
    assert (told.info.metadata["outcome"], told.retry_delay) == ("unknown", 1.0)
    data, _ = await outcome(first)
    assert await outcome(gadgets.PokeGadget(request)) == (data, True)


async def refused_late(gadgets: Any, request: Any) -> Refusal:
    """Return the status of a repetition that is sent once the first call has arrived."""
    await asyncio.sleep(0.2)
    return await refused(gadgets.PokeGadget(request))


async def test_a_wait_for_another_replica_has_an_end(postgres_url: str) -> None:
    """A call whose id another replica is at work on is ABORTED, with RetryInfo, after the time for a lock."""
    async with (
        serving(settings_for(postgres_url)) as slow,
        serving(settings_for(postgres_url, statement_timeout=0.4)) as hasty,
        grpc.aio.insecure_channel(slow.address) as one,
        grpc.aio.insecure_channel(hasty.address) as other,
    ):
        request = gadget_pb2.PokeGadgetRequest(how="slow in a transaction", seconds=2, request_id=str(uuid4()))
        first = gadget_pb2_grpc.GadgetServiceStub(one).PokeGadget(request)
        second = gadget_pb2_grpc.GadgetServiceStub(other)
        await eventually(slow.database.engine.pool.checkedout)  # type: ignore[attr-defined]
        told = await refused_late(second, request)
        assert (told.code, told.info.reason) == (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS")
        assert (told.info.metadata["outcome"], told.retry_delay) == ("unknown", 1.0)
        data, _ = await outcome(first)
        assert await outcome(second.PokeGadget(request)) == (data, True)


@pytest.mark.parametrize(
    ("first_sent", "expected"),
    [
        (lambda now: now.isoformat(), None),
        (lambda now: (now - timedelta(hours=23)).strftime("%Y-%m-%dT%H:%M:%SZ"), None),
        (lambda now: (now - timedelta(hours=25)).isoformat(), "REQUEST_ID_EXPIRED"),
        (lambda now: (now + timedelta(hours=2)).isoformat(), "INVALID_FIRST_SENT"),
        (lambda now: now.replace(tzinfo=None).isoformat(), "INVALID_FIRST_SENT"),
        (lambda _: "yesterday", "INVALID_FIRST_SENT"),
    ],
    ids=["now", "known", "expired", "future", "no offset", "no time"],
)
async def test_a_repetition_after_the_sweep_is_refused(users: Any, first_sent: Any, expected: str | None) -> None:
    """With `first_sent` an unknown id that may have been swept is refused, and so is a time that makes no sense."""
    metadata = (("first_sent", first_sent(datetime.now(UTC))),)
    request = create()
    if expected is None:
        assert not (await outcome(users.CreateUser(request, metadata=metadata)))[1]
        return
    assert (await refused(users.CreateUser(request, metadata=metadata))).info.reason == expected
    # It had no effect, and an id that is known is answered however old it is.
    data, replayed = await outcome(users.CreateUser(request))
    assert not replayed
    if expected == "REQUEST_ID_EXPIRED":
        assert await outcome(users.CreateUser(request, metadata=metadata)) == (data, True)


async def test_old_ids_are_swept_in_batches(empty_url: str) -> None:
    """The service deletes ids of more than a day and an hour by itself, a batch at a time, and no others."""
    settings = settings_for(empty_url)
    async with serving(settings) as app:
        now = datetime.now(UTC)
        ages = [*(timedelta(hours=26) for _ in range(BATCH + 1)), timedelta(hours=24.5), timedelta(0)]
        values = [{"id": uuid4().bytes, "digest": b"", "response": b"", "create_time": now - age} for age in ages]
        await app.database.transact(lambda connection: connection.execute(insert(TABLE), values).close())

        async def count() -> int:
            statement = select(func.count()).select_from(TABLE)
            return await app.database.run(lambda connection: connection.scalar(statement) or 0)

        assert await Once(DAY).sweep(app.database) == BATCH
        assert await count() == 3
        sweeper = Sweeper([Once(DAY)], app.database, period=0.01)
        async with asyncio.timeout(30):
            while await count() != 2:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
        await sweeper.stop()
        assert await count() == 2


@pytest.fixture
async def guarded(empty_url: str) -> AsyncIterator[Any]:
    """The stub of users of a service that knows its callers, of whom one is not let in."""

    def gate(arrival: Arrival, _method: Method) -> None:
        name = str(arrival.metadata["x-caller"])
        if name.startswith("banned"):
            raise StatusError(grpc.StatusCode.PERMISSION_DENIED, "BANNED", "Not you.")
        arrival.caller = Caller(name.removeprefix("unbanned "))

    service = replace(MARKETPLACE, gates=lambda _: (gate,))
    async with (
        serving_any(service, settings_for(empty_url)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        yield user_pb2_grpc.UserServiceStub(channel)


async def test_an_id_belongs_to_its_caller(guarded: Any) -> None:
    """Another caller's same id is another one, and whoever may not call any more gets no earlier answer either."""
    request = create()
    first, _ = await outcome(guarded.CreateUser(request, metadata=(("x-caller", "ann"),)))
    assert await outcome(guarded.CreateUser(request, metadata=(("x-caller", "ann"),))) == (first, True)
    told = await refused(guarded.CreateUser(request, metadata=(("x-caller", "bob"),)))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS, "it was tried, for it is the first of bob's"
    told = await refused(guarded.CreateUser(request, metadata=(("x-caller", "banned ann"),)))
    assert told.code is grpc.StatusCode.PERMISSION_DENIED


def test_input_only_fields_are_cleared() -> None:
    """INPUT_ONLY fields in the answer of a function are neither told nor kept."""
    listed = gadget_pb2.ListGadgetsResponse(gadgets=[{"label": "a", "secret": PASSWORD}])
    single = gadget_pb2.Gadget(label="a", secret=PASSWORD)
    for each in (listed, single):
        UNTOLD.clear(each)
    assert (single, listed) == (
        gadget_pb2.Gadget(label="a"),
        gadget_pb2.ListGadgetsResponse(gadgets=[{"label": "a"}]),
    )


async def test_a_service_without_the_table_does_not_start(postgres_url: str) -> None:
    """Where requests have a request_id and no migration made the table, the start says so."""
    settings = settings_for(postgres_url)
    await make_schema(settings)
    async with serving(settings) as app:
        await app.database.transact(lambda connection: connection.execute(text("DROP TABLE request_ids")).close())
    with pytest.raises(SchemaError, match="no table request_ids"):
        await start(MARKETPLACE, settings)


def test_ids_are_known_for_a_day_at_the_least() -> None:
    """A retention of less than 24 hours is refused."""
    with pytest.raises(SettingsError, match="request-id-retention"):
        settings_for("sqlite+aiosqlite://", request_id_retention=3600)
