"""A process that calls a server, so that whoever measures is not the one who is slow.

It reads lines of JSON from its standard input, each a load, and answers each with a line.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import grpc
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import user_pb2

IDENTITY = "/marketplace.v1.UserService/"
BATCH = 1000


@dataclass(frozen=True)
class Load:
    """Calls to make.

    Attributes:
        address: The server.
        path: The method, for gRPC.
        kind: Which requests: a key of REQUESTS.
        in_flight: How many callers call, each one call after the other.
        seconds: For how long.
        names: The users that there are.
        mark: What new users have in their names, of which no other load makes some.
    """

    address: str
    path: str
    kind: str
    in_flight: int
    seconds: float
    names: list[str]
    mark: str


@dataclass(frozen=True)
class Done:
    """What became of a load.

    Attributes:
        calls: How many calls were answered.
        failed: How many failed.
        seconds: How long it took.
        p50: The median time of a call in milliseconds.
        p99: The 99th percentile.
    """

    calls: int
    failed: int
    seconds: float
    p50: float
    p99: float


def _user(mark: str, number: int) -> user_pb2.User:
    name = f"b{mark}_{number}"
    return user_pb2.User(email=f"{name}@example.com", username=name, full_name="A Benchmark")


def _gets(load: Load) -> Iterator[Any]:
    for number in count():
        yield user_pb2.GetUserRequest(name=load.names[number * 7 % len(load.names)])


def _batch_gets(load: Load) -> Iterator[Any]:
    request = user_pb2.BatchGetUsersRequest(names=load.names[:100])
    while True:
        yield request


def _lists(_: Load) -> Iterator[Any]:
    request = user_pb2.ListUsersRequest(page_size=100)
    while True:
        yield request


def _filtered(_: Load) -> Iterator[Any]:
    request = user_pb2.ListUsersRequest(page_size=100, filter="active = true")
    while True:
        yield request


def _creates(load: Load) -> Iterator[Any]:
    for number in count():
        yield user_pb2.CreateUserRequest(user=_user(load.mark, number))


def _updates(load: Load) -> Iterator[Any]:
    for number in count():
        user = user_pb2.User(name=load.names[number % len(load.names)], full_name=f"Bench {load.mark} {number}")
        yield user_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=["full_name"]))


def _batch_creates(load: Load) -> Iterator[Any]:
    for batch in count():
        users = (_user(load.mark, batch * BATCH + number) for number in range(BATCH))
        yield user_pb2.BatchCreateUsersRequest(requests=[user_pb2.CreateUserRequest(user=user) for user in users])


REQUESTS = {
    "get": _gets,
    "batch_get": _batch_gets,
    "list": _lists,
    "filtered": _filtered,
    "create": _creates,
    "update": _updates,
    "batch_create": _batch_creates,
}


async def run(load: Load) -> Done:
    """Make the calls, and return what became of them."""
    requests = REQUESTS[load.kind](load)
    times: list[float] = []
    failed = 0
    # Bytes in and out: what is measured is the server, and a message here costs what it costs there.
    async with grpc.aio.insecure_channel(load.address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
        await channel.channel_ready()
        call: Any = channel.unary_unary(load.path)
        began = time.perf_counter()
        until = began + load.seconds

        async def one() -> None:
            nonlocal failed
            while (start := time.perf_counter()) < until:
                try:
                    await call(next(requests).SerializeToString())
                    times.append(time.perf_counter() - start)
                except grpc.aio.AioRpcError:
                    failed += 1

        await asyncio.gather(*(one() for _ in range(load.in_flight)))
        seconds = time.perf_counter() - began
    times.sort()
    at = [times[min(len(times) - 1, int(len(times) * share))] * 1000 if times else 0.0 for share in (0.5, 0.99)]
    return Done(len(times), failed, seconds, *at)


async def main() -> None:
    """Run loads until the standard input ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await run(Load(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
