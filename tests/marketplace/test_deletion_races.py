"""A delete beside other calls: each caller is told what the proto says, whoever comes first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from marketplace.v1 import address_pb2, comment_pb2, post_pb2, profile_pb2, tag_pb2, tag_pb2_grpc, user_pb2
from sqlalchemy import text

from tests.marketplace.client import Market, attempt, opened
from tests.process import HANGS
from tests.status import Refusal

TRIES, AT_ONCE = 40, 8

Told = Any
Call = Callable[[str], Awaitable[object]]


@pytest.fixture
async def market(postgres_url: str) -> AsyncIterator[Market]:
    """A marketplace on PostgreSQL, where several connections write at the same time."""
    async with opened(postgres_url) as running:
        yield running


def told(answer: object) -> Told:
    """Return OK, or the code and the fields that a caller was told."""
    return (answer.code.name, *answer.fields) if isinstance(answer, Refusal) else "OK"


async def race(make: Callable[[], Awaitable[Any]], *calls: Call) -> list[Counter[Told]]:
    """Make calls about one new resource at the same time, many times over; count what each of them was told."""
    counts: list[Counter[Told]] = [Counter() for _ in calls]

    async def once() -> None:
        name: str = (await make()).name
        for count, answer in zip(
            counts, await asyncio.gather(*(attempt(call(name)) for call in calls)), strict=True
        ):
            count[told(answer)] += 1

    for _ in range(TRIES // AT_ONCE):
        await asyncio.gather(*(once() for _ in range(AT_ONCE)))
    return counts


async def while_deleting(market: Market, name: str, call: Call) -> Told:
    """Make a call about a resource whose delete is under way, and return what the call was told at its end."""
    async with market.app.database.engine.connect() as connection:
        await connection.execution_options(isolation_level="READ COMMITTED")
        table, id_ = name.split("/")
        delete = text(f"DELETE FROM {table} WHERE id = :id")  # noqa: S608 - it is one of ours
        await connection.execute(delete, {"id": id_ if table == "tags" else int(id_)})
        made = asyncio.ensure_future(attempt(call(name)))
        async with asyncio.timeout(HANGS):
            while not await market.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
        await connection.commit()
    return told(await made)


def delete_user(market: Market, name: str, *, force: bool = True) -> Awaitable[object]:
    """Delete a user."""
    return market.users.DeleteUser(user_pb2.DeleteUserRequest(name=name, force=force))


def create_address(market: Market, name: str) -> Awaitable[address_pb2.Address]:
    """Create an address of a user."""
    address = address_pb2.Address(lines="1 High Street", city="Oxford", region_code="GB")
    return market.users.CreateAddress(address_pb2.CreateAddressRequest(parent=name, address=address))


def update_profile(market: Market, name: str) -> Awaitable[object]:
    """Write the profile of a user."""
    profile = profile_pb2.Profile(name=f"{name}/profile", bio="New.")
    return market.users.UpdateProfile(profile_pb2.UpdateProfileRequest(profile=profile))


async def test_force_deletes_what_is_created_meanwhile(market: Market) -> None:
    """DeleteUser with force is never refused for addresses that are created at the same time."""

    def delete(name: str) -> Awaitable[object]:
        return delete_user(market, name)

    def create(name: str) -> Awaitable[object]:
        return create_address(market, name)

    deleted, *created = await race(market.user, delete, create, create)
    assert deleted == {"OK": TRIES}
    for count in created:
        assert count.keys() <= {"OK", ("NOT_FOUND",)}


async def test_force_deletes_comments_that_are_made_meanwhile(market: Market) -> None:
    """DeletePost with force is never refused for comments that are made at the same time."""
    author = (await market.user()).name

    async def make() -> post_pb2.Post:
        post = post_pb2.Post(author=author, title="On tea")
        return await market.posts.CreatePost(post_pb2.CreatePostRequest(post=post))

    def delete(name: str) -> Awaitable[object]:
        return market.posts.DeletePost(post_pb2.DeletePostRequest(name=name, force=True))

    def comment(name: str) -> Awaitable[object]:
        made = comment_pb2.Comment(author=author, body="Quite.")
        return market.posts.CreateComment(comment_pb2.CreateCommentRequest(parent=name, comment=made))

    deleted, *created = await race(make, delete, comment, comment)
    assert deleted == {"OK": TRIES}
    for count in created:
        assert count.keys() <= {"OK", ("NOT_FOUND",)}


async def test_what_belongs_to_a_user_goes_with_the_user(market: Market) -> None:
    """UpdateProfile and DepositMoney of a user who is deleted at the same time are NOT_FOUND, or came first."""

    def delete(name: str) -> Awaitable[object]:
        return delete_user(market, name)

    def update(name: str) -> Awaitable[object]:
        return update_profile(market, name)

    def deposit(name: str) -> Awaitable[object]:
        return market.deposit(f"{name}/wallet", 5)

    for write in (update, deposit):
        for calls in ((write, delete), (delete, write)):
            answers = dict(zip(calls, await race(market.user, *calls), strict=True))
            assert answers[write].keys() <= {"OK", ("NOT_FOUND",)}
            # A wallet that has been used keeps its user.
            assert answers[delete].keys() <= {"OK", ("FAILED_PRECONDITION",)}


async def test_money_for_a_user_who_is_deleted(market: Market) -> None:
    """A transfer to a user who is deleted at the same time names its destination, or came first."""
    source = await market.wallet(100_000)

    def transfer(name: str) -> Awaitable[object]:
        return market.transfer(source, f"{name}/wallet", 1)

    def delete(name: str) -> Awaitable[object]:
        return delete_user(market, name)

    for calls in ((transfer, delete), (delete, transfer)):
        answers = dict(zip(calls, await race(market.user, *calls), strict=True))
        assert answers[transfer].keys() <= {"OK", ("INVALID_ARGUMENT", "transfer.destination")}


async def test_a_transfer_names_the_user_that_is_missing_alone(market: Market) -> None:
    """Of two wallets without a row, only that of the user who is deleted meanwhile is at fault."""
    for gone, side in enumerate(("source", "destination")):
        users = [(await market.user()).name, (await market.user()).name]

        def transfer(
            _: str, wallets: tuple[str, ...] = tuple(f"{user}/wallet" for user in users)
        ) -> Awaitable[object]:
            return market.transfer(wallets[0], wallets[1], 1)

        assert await while_deleting(market, users[gone], transfer) == ("INVALID_ARGUMENT", f"transfer.{side}")


async def test_a_write_that_waits_for_a_delete_is_refused_as_after_it(market: Market) -> None:
    """A call that refers to a resource whose delete is under way gets the status that it gets after the delete."""
    tags = tag_pb2_grpc.TagServiceStub(market.channel)
    await tags.CreateTag(tag_pb2.CreateTagRequest(tag_id="tea", tag=tag_pb2.Tag(display_name="Tea")))
    author = (await market.user()).name

    def post(writer: str, *about: str) -> Awaitable[object]:
        made = post_pb2.Post(author=writer, title="On tea", tags=about)
        return market.posts.CreatePost(post_pb2.CreatePostRequest(post=made))

    calls: list[tuple[Call, Told]] = [
        (lambda name: update_profile(market, name), ("NOT_FOUND",)),
        (lambda name: market.deposit(f"{name}/wallet", 5), ("NOT_FOUND",)),
        (lambda name: create_address(market, name), ("NOT_FOUND",)),
        (post, ("INVALID_ARGUMENT", "post.author")),
    ]
    for call, expected in calls:
        name = (await market.user()).name
        assert await while_deleting(market, name, call) == expected
    assert await while_deleting(market, "tags/tea", lambda tag: post(author, tag)) == (
        "INVALID_ARGUMENT",
        "post.tags[0]",
    )


async def test_a_resource_that_is_made_again_is_found(market: Market) -> None:
    """A call whose reference is made anew, right after it was found missing, is done again and succeeds."""
    await market.sql("CREATE SEQUENCE misses")
    await market.sql(
        "CREATE FUNCTION miss() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('misses') < 3 THEN RAISE foreign_key_violation USING TABLE = 'posts'; END IF;"
        " RETURN NEW; END $$"
    )
    await market.sql("CREATE TRIGGER miss BEFORE INSERT ON posts FOR EACH ROW EXECUTE FUNCTION miss()")
    post = post_pb2.Post(author=(await market.user()).name, title="On tea")
    assert told(await attempt(market.posts.CreatePost(post_pb2.CreatePostRequest(post=post)))) == "OK"


async def test_a_deadlocked_delete_is_tried_again(market: Market) -> None:
    """A DeleteUser that the database ended for a deadlock is done again, and its caller is not told of it."""
    await market.sql("CREATE SEQUENCE deadlocks")
    await market.sql(
        "CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('deadlocks') < 3 THEN RAISE deadlock_detected; END IF; RETURN OLD; END $$"
    )
    await market.sql("CREATE TRIGGER deadlock BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION deadlock()")
    assert told(await attempt(delete_user(market, (await market.user()).name, force=False))) == "OK"
