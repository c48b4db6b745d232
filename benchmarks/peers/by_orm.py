"""UserService by hand on sessions of SQLAlchemy's ORM: `python -m benchmarks.peers.by_orm URL`.

As tutorials write it: a session for each call, objects in and out, a transaction for each. It has no deadlines, no
metrics, no details of errors, no validation, no masks but that of full_name, and one filter.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from marketplace.v1 import user_pb2
from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.peers.by_asyncpg import id_in, moment
from benchmarks.peers.serving import Methods, main
from tablestakes.columns import Instant, Serial


class Base(DeclarativeBase):
    """The base of the one model."""

    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so


class User(Base):
    """A user, as far as its methods need it."""

    __tablename__ = "users"

    id: Mapped[Serial]
    email: Mapped[str]
    username: Mapped[str]
    full_name: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    row_version: Mapped[int] = mapped_column(BigInteger)
    delete_time: Mapped[datetime | None]


def message(user: User) -> user_pb2.User:
    """Return the message of an object."""
    return user_pb2.User(
        name=f"users/{user.id}",
        email=user.email,
        username=user.username,
        full_name=user.full_name,
        active=user.active,
        create_time=moment(user.create_time),
        update_time=moment(user.update_time),
        etag=f'"{user.row_version:x}"',
    )


def made(user: user_pb2.User) -> User:
    """Return a new object."""
    now = datetime.now(UTC)
    return User(
        email=user.email,
        username=user.username,
        full_name=user.full_name,
        create_time=now,
        update_time=now,
        row_version=time.time_ns() // 1000,
    )


async def _missing(name: str, context: Any) -> None:
    await context.abort(grpc.StatusCode.NOT_FOUND, f"{name} was not found.")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Methods]:
    """Yield the methods on an engine for a database."""
    engine = create_async_engine(url, **({"pool_size": 10, "max_overflow": 0} if "postgresql" in url else {}))
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def get(request: user_pb2.GetUserRequest, context: Any) -> Any:
        async with sessions() as session:
            user = await session.get(User, id_in(request.name))
        return message(user) if user else await _missing(request.name, context)

    async def batch_get(request: user_pb2.BatchGetUsersRequest, context: Any) -> Any:
        ids = [id_in(name) for name in request.names]
        async with sessions() as session:
            users = await session.scalars(select(User).where(User.id.in_(ids), User.delete_time.is_(None)))
        found = {user.id: user for user in users}
        if len(found) < len(set(ids)):
            await context.abort(grpc.StatusCode.NOT_FOUND, "One of them was not found.")
        return user_pb2.BatchGetUsersResponse(users=[message(found[each]) for each in ids])

    async def list_(request: user_pb2.ListUsersRequest, _: Any) -> Any:
        size = request.page_size or 50
        wanted = select(User).where(User.delete_time.is_(None)).order_by(User.id).limit(size + 1)
        async with sessions() as session:
            users = (await session.scalars(wanted.where(User.active) if request.filter else wanted)).all()
        token = str(users[size - 1].id) if len(users) > size else ""
        return user_pb2.ListUsersResponse(users=map(message, users[:size]), next_page_token=token)

    async def create(request: user_pb2.CreateUserRequest, _: Any) -> Any:
        async with sessions.begin() as session:
            user = made(request.user)
            session.add(user)
        return message(user)

    async def update(request: user_pb2.UpdateUserRequest, context: Any) -> Any:
        async with sessions.begin() as session:
            user = await session.get(User, id_in(request.user.name))
            if user is not None:
                user.full_name = request.user.full_name
                user.update_time = datetime.now(UTC)
                user.row_version += 1
        return message(user) if user else await _missing(request.user.name, context)

    async def batch_create(request: user_pb2.BatchCreateUsersRequest, _: Any) -> Any:
        users = [made(each.user) for each in request.requests]
        async with sessions.begin() as session:
            session.add_all(users)
        return user_pb2.BatchCreateUsersResponse(users=map(message, users))

    try:
        yield {
            "GetUser": get,
            "BatchGetUsers": batch_get,
            "ListUsers": list_,
            "CreateUser": create,
            "UpdateUser": update,
            "BatchCreateUsers": batch_create,
        }
    finally:
        await engine.dispose()


if __name__ == "__main__":
    main(opened)
