"""UserService by hand on asyncpg: `python -m benchmarks.peers.by_asyncpg URL`.

It is written with care for speed, and has what its methods need and nothing else: no deadlines, no metrics, no
details of errors, no validation, no masks but that of full_name, and one filter.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.v1 import user_pb2

from benchmarks.peers.serving import Methods, main

# Each is one text, which asyncpg prepares once. `returning` stands for the columns that a message is made of.
GET = "SELECT returning FROM users WHERE id = $1"
BATCH_GET = "SELECT returning FROM users WHERE id = ANY($1) AND delete_time IS NULL"
LIST = "SELECT returning FROM users WHERE delete_time IS NULL ORDER BY id LIMIT $1"
LIST_ACTIVE = "SELECT returning FROM users WHERE delete_time IS NULL AND active ORDER BY id LIMIT $1"
CREATE = """
INSERT INTO users (email, username, full_name, active, create_time, update_time, row_version)
VALUES ($1, $2, $3, true, $4, $4, $5) RETURNING returning
"""
UPDATE = """
UPDATE users SET full_name = $2, update_time = $3, row_version = row_version + 1
WHERE id = $1 AND delete_time IS NULL RETURNING returning
"""
BATCH_CREATE = """
INSERT INTO users (email, username, full_name, active, create_time, update_time, row_version)
SELECT e, u, f, true, $4, $4, $5 FROM unnest($1::text[], $2::text[], $3::text[]) AS given (e, u, f)
RETURNING returning
"""
COLUMNS = "id, email, username, full_name, active, create_time, update_time, row_version"
GET, BATCH_GET, LIST, LIST_ACTIVE, CREATE, UPDATE, BATCH_CREATE = (
    text.replace("returning", COLUMNS) for text in (GET, BATCH_GET, LIST, LIST_ACTIVE, CREATE, UPDATE, BATCH_CREATE)
)


def moment(value: datetime) -> Timestamp:
    """Return an instant as a message."""
    return Timestamp(seconds=int(value.timestamp()), nanos=value.microsecond * 1000)


def message(row: Any) -> user_pb2.User:
    """Return the message of a row."""
    number, email, username, full_name, active, created, updated, version = row
    return user_pb2.User(
        name=f"users/{number}",
        email=email,
        username=username,
        full_name=full_name,
        active=active,
        create_time=moment(created),
        update_time=moment(updated),
        etag=f'"{version:x}"',
    )


def id_in(name: str) -> int:
    """Return the id in a name."""
    return int(name.removeprefix("users/"))


async def _nothing(_: Any) -> None:
    """Reset nothing: no method leaves anything behind in its session."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Methods]:
    """Yield the methods on a pool of connections to a database."""
    plain = url.replace("postgresql+asyncpg", "postgresql")
    async with asyncpg.create_pool(plain, min_size=10, max_size=10, reset=_nothing) as pool:

        async def get(request: user_pb2.GetUserRequest, context: Any) -> Any:
            row = await pool.fetchrow(GET, id_in(request.name))
            if row is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} was not found.")
            return message(row)

        async def batch_get(request: user_pb2.BatchGetUsersRequest, context: Any) -> Any:
            ids = [id_in(name) for name in request.names]
            found = {row[0]: message(row) for row in await pool.fetch(BATCH_GET, ids)}
            if len(found) < len(set(ids)):
                await context.abort(grpc.StatusCode.NOT_FOUND, "One of them was not found.")
            return user_pb2.BatchGetUsersResponse(users=[found[each] for each in ids])

        async def list_(request: user_pb2.ListUsersRequest, _: Any) -> Any:
            size = request.page_size or 50
            rows = await pool.fetch(LIST_ACTIVE if request.filter else LIST, size + 1)
            token = str(rows[size - 1][0]) if len(rows) > size else ""
            return user_pb2.ListUsersResponse(users=map(message, rows[:size]), next_page_token=token)

        async def create(request: user_pb2.CreateUserRequest, _: Any) -> Any:
            user, now = request.user, datetime.now(UTC)
            version = time.time_ns() // 1000
            return message(await pool.fetchrow(CREATE, user.email, user.username, user.full_name, now, version))

        async def update(request: user_pb2.UpdateUserRequest, context: Any) -> Any:
            user = request.user
            row = await pool.fetchrow(UPDATE, id_in(user.name), user.full_name, datetime.now(UTC))
            if row is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"{user.name} was not found.")
            return message(row)

        async def batch_create(request: user_pb2.BatchCreateUsersRequest, _: Any) -> Any:
            users = [each.user for each in request.requests]
            columns = ([getattr(user, name) for user in users] for name in ("email", "username", "full_name"))
            rows = await pool.fetch(BATCH_CREATE, *columns, datetime.now(UTC), time.time_ns() // 1000)
            return user_pb2.BatchCreateUsersResponse(users=map(message, rows))

        yield {
            "GetUser": get,
            "BatchGetUsers": batch_get,
            "ListUsers": list_,
            "CreateUser": create,
            "UpdateUser": update,
            "BatchCreateUsers": batch_create,
        }


if __name__ == "__main__":
    main(opened)
