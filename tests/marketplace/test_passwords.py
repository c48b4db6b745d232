"""Passwords: kept as hashes, told to nobody, and made without holding up anybody else."""

import asyncio
import http.client
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import argon2
import grpc
import pytest
import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketplace.v1 import address_pb2, profile_pb2, user_pb2, user_pb2_grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from marketplace_service import SERVICE
from marketplace_service.api import password
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves
from tests.marketplace.client import Market, key, refused
from tests.process import migrated, server

CANARY = "canary-93b7c2"
"""A password, of which no more than its hash may be found anywhere."""

SHORT, LONG = CANARY[:7], CANARY * 10

# By the field's path, passwords that are refused.
REFUSED = {"too short": SHORT, "too long": LONG, "with a NUL": f"{CANARY}\0"}

# OWASP's least for argon2id: memory in kibibytes, passes, lanes.
LEAST = (19 * 1024, 2, 1)


async def test_only_a_hash_is_kept(market: Market) -> None:
    """The database holds an argon2id hash, as costly as OWASP asks for, that the password verifies."""
    user = await market.user(password=CANARY)
    kept = await _hash(market, user.name)
    assert kept.startswith("$argon2id$")
    assert CANARY not in kept
    assert argon2.PasswordHasher().verify(kept, CANARY)
    parameters = argon2.extract_parameters(kept)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) >= LEAST
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(kept, CANARY.upper())


async def test_a_user_needs_no_password(market: Market) -> None:
    """A user without a password has none, and not the hash of nothing."""
    assert await _hash(market, (await market.user()).name) is None


@pytest.mark.parametrize("given", ["p" * 8, "p" * 128, "пароль длинный", "\U0001f510" * 8, " " * 8])
async def test_a_password_is_kept_to_the_letter(market: Market, given: str) -> None:
    """The shortest, the longest and one of other letters verify as they were sent."""
    user = await market.user(password=given)
    assert argon2.PasswordHasher().verify(await _hash(market, user.name), given)


async def test_equal_passwords_have_different_hashes(market: Market) -> None:
    """Two users with one password, and one user with it twice, are not to be told by their hashes."""
    one, other = await market.user(password=CANARY), await market.user(password=CANARY)
    hashes = [await _hash(market, one.name), await _hash(market, other.name)]
    await _update(market, one.name, ["password"], password=CANARY)
    hashes.append(await _hash(market, one.name))
    assert len(set(hashes)) == 3


async def test_an_update_changes_the_password(market: Market) -> None:
    """An Update whose mask names the password, or that has one and no mask, replaces the hash."""
    user = await market.user(password=CANARY)
    for paths, new in ((["password"], "a new password"), ([], "another password")):
        before = await _hash(market, user.name)
        await _update(market, user.name, paths, password=new)
        kept = await _hash(market, user.name)
        assert kept != before
        assert argon2.PasswordHasher().verify(kept, new)


async def test_another_update_leaves_the_password(market: Market) -> None:
    """An Update that names other fields, or has no password and no mask, leaves the hash as it was."""
    user = await market.user(password=CANARY)
    before = await _hash(market, user.name)
    await _update(market, user.name, ["full_name"], full_name="New", password="a new password")
    await _update(market, user.name, [], full_name="Newer")
    assert await _hash(market, user.name) == before


@pytest.mark.parametrize("how", REFUSED)
async def test_a_password_that_is_refused_is_not_quoted(market: Market, how: str) -> None:
    """A password that is too short, too long or no text is INVALID_ARGUMENT by its field, by Create and Update."""
    user = await market.user(password=CANARY)
    before = await _hash(market, user.name)
    for call in (
        market.user(password=REFUSED[how]),
        _update(market, user.name, ["password"], password=REFUSED[how]),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert SHORT not in _told(caught.value)
        assert "user.password" in _told(caught.value)
    assert await _hash(market, user.name) == before


async def test_a_password_is_not_quoted_beside_another_fault(market: Market) -> None:
    """A good password in a request that fails for another field is in no part of the answer."""
    taken = await market.user(password=CANARY)
    other = await market.user()
    calls: list[tuple[Awaitable[Message], grpc.StatusCode]] = [
        (market.user(email=taken.email, password=CANARY), grpc.StatusCode.ALREADY_EXISTS),
        (market.user(email="nobody", password=CANARY), grpc.StatusCode.INVALID_ARGUMENT),
        (
            _update(market, other.name, [], email=taken.email, password=CANARY),
            grpc.StatusCode.ALREADY_EXISTS,
        ),
        (_update(market, "users/987654321", [], password=CANARY), grpc.StatusCode.NOT_FOUND),
    ]
    for call, code in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is code
        assert SHORT not in _told(caught.value)
    assert await _hash(market, other.name) is None, "an Update that failed changed nothing"


async def test_a_password_in_a_malformed_request_is_not_quoted(market: Market) -> None:
    """Bytes that are no message, with a password in them, are not repeated."""
    create: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    create = market.channel.unary_unary("/marketplace.v1.UserService/CreateUser")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(b"\x0a\x20\x42\x1e" + CANARY.encode() + b"\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert SHORT not in _told(caught.value)


async def test_no_answer_has_a_password(market: Market) -> None:
    """No RPC of UserService answers with a password or a hash, in a field that it knows or does not know."""
    answers = await _use_every_method(market.users, "answers")
    (service,) = user_pb2.DESCRIPTOR.services_by_name.values()
    assert answers.keys() == {method.name for method in service.methods}
    for name, answer in answers.items():
        data = answer.SerializeToString()
        assert CANARY.encode() not in data, name
        assert b"argon2" not in data, name
    one = ("CreateUser", "GetUser", "UpdateUser", "DeleteUser", "UndeleteUser")
    users = [answers[name] for name in one]
    for name in ("ListUsers", "BatchGetUsers", "BatchCreateUsers", "BatchUpdateUsers", "BatchDeleteUsers"):
        users += getattr(answers[name], "users")  # noqa: B009 - the answers are messages of any type
    assert not any(user.HasField("password") for user in users)


async def test_no_line_and_no_metric_has_a_password(market: Market, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that is logged at DEBUG, by whomever, has a password, and neither has /metrics."""
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        await _use_every_method(market.users, "lines")
        for refuse in REFUSED.values():
            await refused(market.user(password=refuse))
        taken = await market.user(password=CANARY)
        told = await refused(market.user(email=taken.email, password=CANARY))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert any("CreateUser" in str(line) for line in lines)
    assert SHORT not in str(lines)
    assert SHORT not in caplog.text
    assert not any(SHORT in str(record.__dict__) for record in caplog.records)
    exposed = await asyncio.to_thread(_metrics, market.app.metrics_address)
    assert 'grpc_method="CreateUser"' in exposed
    assert SHORT not in exposed


async def test_no_line_of_a_process_has_a_password(empty_url: str) -> None:
    """What a server logs at DEBUG, also when a Create or an Update fails inside, has no password and no hash."""
    beside = create_async_engine(await migrated(empty_url), poolclass=NullPool)
    async with (
        server(empty_url, "--log-level=debug") as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        users: user_pb2_grpc.UserServiceAsyncStub = user_pb2_grpc.UserServiceStub(channel)
        await _use_every_method(users, "process")
        async with beside.begin() as connection:
            await connection.execute(text("ALTER TABLE users RENAME TO somewhere_else"))
        user = user_pb2.User(email="inside@example.com", username="inside", password=CANARY)
        told = await refused(users.CreateUser(user_pb2.CreateUserRequest(user=user)))
        assert told.code is grpc.StatusCode.INTERNAL
        assert SHORT not in str(told)
        user.name = "users/1"
        assert (
            await refused(users.UpdateUser(user_pb2.UpdateUserRequest(user=user)))
        ).code is grpc.StatusCode.INTERNAL
        process.process.terminate()
        assert await process.stopped() == 0
    logged = "".join(process.lines)
    assert told.info.metadata["errorId"] in logged
    assert SHORT not in logged
    assert "$argon2" not in logged


class Counting:
    """A hasher that does what the real one does, at more cost, and sees how many do it at once.

    Attributes:
        most: How many hashed at once at the most.
        threads: The threads that hashed.
        seconds: How long each hash took.
    """

    def __init__(self) -> None:
        # On the loop one of these would be a gap of more than the test allows.
        memory, _, lanes = LEAST
        self._hasher = argon2.PasswordHasher(time_cost=32, memory_cost=memory, parallelism=lanes)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.threads: set[int] = set()
        self.seconds: list[float] = []

    def hash(self, given: str) -> str:
        """Return the hash of a password."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.threads.add(threading.get_ident())
        begun = time.perf_counter()
        try:
            return self._hasher.hash(given)
        finally:
            self.seconds.append(time.perf_counter() - begun)
            with self._lock:
                self._now -= 1


async def test_hashing_holds_up_nobody(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """While eight passwords are hashed, two at once, the event loop turns and other calls are answered."""
    reader = await market.user(password=CANARY)
    counting = Counting()
    monkeypatch.setattr(password, "_HASHER", counting)
    async with _ticking() as gaps:
        creating = asyncio.gather(*(market.user(password=CANARY) for _ in range(8)))
        answered = 0
        while not creating.done():
            await market.users.GetUser(user_pb2.GetUserRequest(name=reader.name))
            answered += 1
            await asyncio.sleep(0.01)
        created = await creating
    assert len(counting.seconds) == len(created) == 8
    # Not a bound in seconds: other processes of the machine hold up the loop and the hashes alike.
    assert max(gaps) < min(counting.seconds), "the loop stood still for as long as a hash takes"
    assert answered > 8
    assert counting.most == password.THREADS
    assert len(counting.threads) == password.THREADS
    assert threading.get_ident() not in counting.threads


def test_a_field_with_a_password_is_never_returned() -> None:
    """In no response of any RPC, however deep, a field named for a password or a hash lacks INPUT_ONLY."""
    found = set()
    for method in SERVICE.bind(PageTokens(b"")):
        for field in _fields(method.descriptor.output_type):
            if any(word in field.name.lower() for word in ("password", "secret", "hash")):
                found.add(field.full_name)
                assert behaves(field, INPUT_ONLY), f"{method.path} returns {field.full_name}"
    assert found == {"marketplace.v1.User.password"}


def _fields(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[FieldDescriptor]:
    """Yield every field of a message and of the messages in it."""
    if message.full_name in seen:
        return
    for field in message.fields:
        yield field
        if field.message_type is not None:
            yield from _fields(field.message_type, seen | {message.full_name})


async def _use_every_method(users: "user_pb2_grpc.UserServiceAsyncStub", prefix: str) -> dict[str, Message]:
    """Call every method of UserService for a user with a password, and return the answers by method."""
    user = user_pb2.User(email=f"{prefix}@example.com", username=prefix, password=CANARY)
    made = await users.CreateUser(user_pb2.CreateUserRequest(user=user))
    answers: dict[str, Message] = {"CreateUser": made}
    answers["GetUser"] = await users.GetUser(user_pb2.GetUserRequest(name=made.name))
    answers["ListUsers"] = await users.ListUsers(user_pb2.ListUsersRequest(page_size=1000))
    changed = user_pb2.User(name=made.name, full_name="Changed", password=f"{CANARY} changed")
    answers["UpdateUser"] = await users.UpdateUser(user_pb2.UpdateUserRequest(user=changed))
    name = f"{made.name}/profile"
    answers["GetProfile"] = await users.GetProfile(profile_pb2.GetProfileRequest(name=name))
    profile = profile_pb2.Profile(name=name, bio="A life")
    answers["UpdateProfile"] = await users.UpdateProfile(profile_pb2.UpdateProfileRequest(profile=profile))
    address = address_pb2.Address(lines="1 Street", city="Town", region_code="NL")
    at = await users.CreateAddress(address_pb2.CreateAddressRequest(parent=made.name, address=address))
    answers["CreateAddress"] = at
    answers["GetAddress"] = await users.GetAddress(address_pb2.GetAddressRequest(name=at.name))
    answers["ListAddresses"] = await users.ListAddresses(address_pb2.ListAddressesRequest(parent=made.name))
    answers["UpdateAddress"] = await users.UpdateAddress(address_pb2.UpdateAddressRequest(address=at))
    many = user_pb2.BatchGetUsersRequest(names=[made.name], read_mask=FieldMask(paths=["name", "password"]))
    answers["BatchGetUsers"] = await users.BatchGetUsers(many)
    profiles = profile_pb2.BatchGetProfilesRequest(names=[name])
    answers["BatchGetProfiles"] = await users.BatchGetProfiles(profiles)
    addresses = address_pb2.BatchGetAddressesRequest(names=[at.name])
    answers["BatchGetAddresses"] = await users.BatchGetAddresses(addresses)
    again = user_pb2.User(email=f"{prefix}.2@example.com", username=f"{prefix}_2", password=CANARY)
    batch = user_pb2.BatchCreateUsersRequest(requests=[user_pb2.CreateUserRequest(user=again)])
    answers["BatchCreateUsers"] = created = await users.BatchCreateUsers(batch)
    again.name = created.users[0].name
    changes = user_pb2.BatchUpdateUsersRequest(requests=[user_pb2.UpdateUserRequest(user=again)])
    answers["BatchUpdateUsers"] = await users.BatchUpdateUsers(changes)
    removals = user_pb2.BatchDeleteUsersRequest(requests=[user_pb2.DeleteUserRequest(name=again.name)])
    answers["BatchDeleteUsers"] = await users.BatchDeleteUsers(removals)
    lives = profile_pb2.BatchUpdateProfilesRequest(requests=[profile_pb2.UpdateProfileRequest(profile=profile)])
    answers["BatchUpdateProfiles"] = await users.BatchUpdateProfiles(lives)
    ats = address_pb2.BatchCreateAddressesRequest(
        requests=[address_pb2.CreateAddressRequest(parent=made.name, address=address)]
    )
    answers["BatchCreateAddresses"] = there = await users.BatchCreateAddresses(ats)
    moves = address_pb2.BatchUpdateAddressesRequest(
        requests=[address_pb2.UpdateAddressRequest(address=there.addresses[0])]
    )
    answers["BatchUpdateAddresses"] = await users.BatchUpdateAddresses(moves)
    gone = address_pb2.BatchDeleteAddressesRequest(
        requests=[address_pb2.DeleteAddressRequest(name=there.addresses[0].name)]
    )
    answers["BatchDeleteAddresses"] = await users.BatchDeleteAddresses(gone)
    answers["DeleteAddress"] = await users.DeleteAddress(address_pb2.DeleteAddressRequest(name=at.name))
    answers["DeleteUser"] = await users.DeleteUser(user_pb2.DeleteUserRequest(name=made.name))
    answers["UndeleteUser"] = await users.UndeleteUser(user_pb2.UndeleteUserRequest(name=made.name))
    await users.DeleteUser(user_pb2.DeleteUserRequest(name=made.name))
    purge = user_pb2.PurgeUsersRequest(filter=f'name = "{made.name}"', force=True)
    answers["PurgeUsers"] = await users.PurgeUsers(purge)
    return answers


async def _update(market: Market, name: str, paths: list[str], **fields: Any) -> user_pb2.User:
    user = user_pb2.User(name=name, **fields)
    request = user_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths))
    return await market.users.UpdateUser(request)


async def _hash(market: Market, name: str) -> Any:
    """Return what the database keeps of a user's password."""
    ((kept,),) = await market.sql("SELECT password FROM users WHERE id = :id", id=key(name))
    return kept


def _told(error: grpc.aio.AioRpcError) -> str:
    """Return everything that an error says, its trailing metadata with it."""
    return f"{error.details()} {error.debug_error_string()} {tuple(error.trailing_metadata() or ())}"


def _metrics(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@asynccontextmanager
async def _ticking() -> AsyncIterator[list[float]]:
    """Measure, as long as the context is open, how many seconds the event loop takes to come round."""
    gaps: list[float] = []
    over = asyncio.Event()

    async def tick() -> None:
        last = time.perf_counter()
        while not over.is_set():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    try:
        yield gaps
    finally:
        over.set()
        await ticker
