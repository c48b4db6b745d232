"""Users and posts are deleted softly: what has expired goes for good, and no post is left with a deleted author."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from marketplace.v1 import post_pb2, user_pb2
from sqlalchemy import update

from marketplace_service.models.user import User
from tablestakes.crud.expired import Expired
from tablestakes.crud.once import CLOCK_SKEW
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.schema.removal import BATCH, Removal
from tablestakes.database import Database
from tests.marketplace.client import Market, attempt, key
from tests.service import SERVICE
from tests.status import Refusal


def removal() -> Removal:
    """Return how users are removed."""
    schema = next(method.schema for method in SERVICE.bind(PageTokens(b"")) if method.name == "GetUser")
    assert schema.removal is not None
    return schema.removal


async def expire(database: Database, names: list[str], ago: timedelta) -> None:
    """Make deleted users expire some time ago."""
    statement = update(User).where(User.id.in_([key(name) for name in names]))
    values = {"expire_time": datetime.now(UTC) - ago}
    await database.transact(lambda connection: connection.execute(statement.values(values)).close())


async def deleted(market: Market, count: int) -> list[str]:
    """Create and delete users, and return their names."""
    names = [(await market.user()).name for _ in range(count)]
    requests = [user_pb2.DeleteUserRequest(name=name) for name in names]
    await market.users.BatchDeleteUsers(user_pb2.BatchDeleteUsersRequest(requests=requests))
    return names


async def there(market: Market, names: list[str]) -> list[str]:
    """Return those of some users that are not removed for good."""
    gets = [attempt(market.users.GetUser(user_pb2.GetUserRequest(name=name))) for name in names]
    answers = await asyncio.gather(*gets)
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert all(answer.code is grpc.StatusCode.NOT_FOUND for answer in refused)
    return [answer.name for answer in answers if not isinstance(answer, Refusal)]


async def test_sweeps_remove_what_has_expired_and_nothing_else(market: Market) -> None:
    """Sweeps at the same time remove every user that has expired, each once, and none before its time."""
    database, sweep = market.app.database, Expired("users", removal())
    expired, kept = await deleted(market, 30), await deleted(market, 3)
    live = (await market.user()).name
    await expire(database, expired, CLOCK_SKEW + timedelta(minutes=1))
    # By the clock of another replica these may not have expired yet.
    await expire(database, kept[:1], CLOCK_SKEW - timedelta(minutes=1))
    removed = await asyncio.gather(*(sweep.sweep(database) for _ in range(4)))
    assert sum(removed) == len(expired)
    assert max(removed) <= BATCH
    assert await there(market, expired) == []
    assert await there(market, [*kept, live]) == [*kept, live]
    restored = await market.users.UndeleteUser(user_pb2.UndeleteUserRequest(name=kept[0]))
    assert not restored.HasField("expire_time")


async def test_no_live_post_has_a_deleted_author(market: Market) -> None:
    """Of a Delete and the Creates of posts beside it either the Delete is refused, or each of the posts is."""
    for _ in range(6):
        author = (await market.user()).name
        post = post_pb2.Post(author=author, title="A race")
        creates = [market.posts.CreatePost(post_pb2.CreatePostRequest(post=post)) for _ in range(4)]
        delete = market.users.DeleteUser(user_pb2.DeleteUserRequest(name=author))
        calls: list[Any] = [delete, *creates]
        gone, *made = await asyncio.gather(*(attempt(call) for call in calls))
        posts = [answer for answer in made if isinstance(answer, post_pb2.Post)]
        user = await market.users.GetUser(user_pb2.GetUserRequest(name=author))
        if isinstance(gone, Refusal):
            assert (gone.code, gone.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")
            assert not user.HasField("delete_time")
            assert posts
        else:
            assert user.HasField("delete_time")
            assert not posts
        refused = [answer for answer in made if isinstance(answer, Refusal)]
        assert all(answer.reasons == {"post.author": "REFERENCE_NOT_FOUND"} for answer in refused)


async def test_an_email_is_free_and_comes_back(market: Market) -> None:
    """Somebody else can have a deleted user's email; that one is restored once the email is free again."""
    first = await market.user()
    await market.users.DeleteUser(user_pb2.DeleteUserRequest(name=first.name))
    second = await market.user(email=first.email)
    answer = await attempt(market.users.UndeleteUser(user_pb2.UndeleteUserRequest(name=first.name)))
    assert isinstance(answer, Refusal)
    assert (answer.code, list(answer.fields)) == (grpc.StatusCode.ALREADY_EXISTS, ["email"])
    await market.users.DeleteUser(user_pb2.DeleteUserRequest(name=second.name))
    restored = await market.users.UndeleteUser(user_pb2.UndeleteUserRequest(name=first.name))
    assert restored.email == first.email
