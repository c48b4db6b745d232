"""Batches and safe writes on PostgreSQL, in ratios.

    python -m benchmarks.batch [--rounds 7]

The rows per second of a BatchCreate of 1,000 products, against 1,000 CreateProducts with 64 in flight, and against
asyncpg's `executemany` of 1,000 INSERTs in one transaction. Then the server's CPU for a request_id and for an etag,
on one CreateUser and one UpdateUser, against the same without. All are measured in turn, after a warm-up; the
server has its own process. Machines differ and are shared: quote the ratios.
"""

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import product_pb2, product_pb2_grpc, user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import IN_FLIGHT, Process, create_user, service

ROWS, CALLS = 1000, 1024
_numbers = itertools.count()

INSERT = """
INSERT INTO products (display_name, category, price_cents, stock, create_time, update_time, row_version)
VALUES ($1, $2, $3, $4, $5, $5, $6)
"""


async def main() -> None:
    """Measure, and print a row for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    async with AsyncExitStack() as opened:
        url = await opened.enter_async_context(migrated())
        server = await opened.enter_async_context(service(url))
        channel = await opened.enter_async_context(grpc.aio.insecure_channel(server.address))
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        opened.push_async_callback(connection.close)
        await _rows(channel, connection, rounds)
        await _costs(server, channel, rounds)


async def _rows(channel: grpc.aio.Channel, connection: Any, rounds: int) -> None:
    products: Any = product_pb2_grpc.ProductServiceStub(channel)
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "BatchCreate": lambda: products.BatchCreateProducts(
            product_pb2.BatchCreateProductsRequest(requests=[_creation() for _ in range(ROWS)])
        ),
        "Creates": lambda: _creates(products),
        "executemany": lambda: _execute_many(connection),
    }
    seconds = await _in_turn({name: _timed(way) for name, way in ways.items()}, rounds)
    batch = seconds["BatchCreate"]
    print(f"BatchCreate of {ROWS}: {ROWS / statistics.median(batch):,.0f} rows a second")
    for name in ("Creates", "executemany"):
        print(f"  {_ratio(seconds[name], batch)} times the rows a second of {ROWS} {name}")


async def _costs(server: Process, channel: grpc.aio.Channel, rounds: int) -> None:
    users: Any = user_pb2_grpc.UserServiceStub(channel)
    made = [await create_user(users, f"bench_{next(_numbers)}") for _ in range(IN_FLIGHT * 4)]
    free = list(made)

    def create(**fields: Any) -> Awaitable[object]:
        name = f"made_{next(_numbers)}"
        user = user_pb2.User(email=f"{name}@example.com", username=name, full_name="A Benchmark")
        called: Awaitable[object] = users.CreateUser(user_pb2.CreateUserRequest(user=user, **fields))
        return called

    async def update(*, etag: bool = False, **fields: Any) -> None:
        # Each user has one writer at a time, or their etags would be stale.
        found = free.pop()
        user = user_pb2.User(name=found.name, full_name=f"Bench {next(_numbers)}")
        if etag:
            user.etag = found.etag
        mask = FieldMask(paths=["full_name"])
        free.append(await users.UpdateUser(user_pb2.UpdateUserRequest(user=user, update_mask=mask, **fields)))

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "CreateUser": create,
        "CreateUser with a request_id": lambda: create(request_id=str(uuid4())),
        "UpdateUser": update,
        "UpdateUser with a request_id": lambda: update(request_id=str(uuid4())),
        "UpdateUser with an etag": lambda: update(etag=True),
    }
    spent = await _in_turn({name: _cpu(server, call) for name, call in calls.items()}, rounds)
    for name, figures in spent.items():
        alone = spent[name.partition(" ")[0]]
        line = f"{name}: {statistics.median(figures):.0f} µs of server CPU a call"
        print(line if figures is alone else f"{line}, {_ratio(figures, alone)} of it without")


async def _in_turn(ways: dict[str, Callable[[], Awaitable[float]]], rounds: int) -> dict[str, list[float]]:
    """Return the figures of each way, of rounds in which every way has its turn; the first one warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            figure = await way()
            if round_:
                found[name].append(figure)
    return found


def _timed(way: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        begun = time.perf_counter()
        await way()
        return time.perf_counter() - begun

    return measure


def _cpu(server: Process, call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
    return lambda: server.cpu_us(call, CALLS)


def _creation() -> product_pb2.CreateProductRequest:
    number = next(_numbers)
    product = product_pb2.Product(display_name=f"Product {number}", category="Bench", price_cents=100, stock=5)
    return product_pb2.CreateProductRequest(product=product)


async def _creates(products: Any) -> None:
    async def some(count: int) -> None:
        for _ in range(count):
            await products.CreateProduct(_creation())

    each, more = divmod(ROWS, IN_FLIGHT)
    await asyncio.gather(*(some(each + (index < more)) for index in range(IN_FLIGHT)))


async def _execute_many(connection: Any) -> None:
    now = datetime.now(UTC)
    rows = [(f"Row {next(_numbers)}", "Bench", 100, 5, now, time.time_ns() // 1000) for _ in range(ROWS)]
    async with connection.transaction():
        await connection.executemany(INSERT, rows)


def _ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median of the paired ratios of two measurements, and their range."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    asyncio.run(main())
