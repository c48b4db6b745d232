"""Server CPU for one GetUser on PostgreSQL, against a bare grpc.aio echo in the same run.

    python -m benchmarks.cpu_per_rpc

Both servers run in processes of their own and are called in turn, after a warm-up. Machines differ and are shared:
quote the ratio.
"""

import asyncio
import statistics
from typing import Any

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import create_user, echo, service

ROUNDS, CALLS = 7, 4000


async def main() -> None:
    """Measure, and print a line for each server and the ratio."""
    spent: dict[str, list[float]] = {"echo": [], "GetUser": []}
    async with (
        migrated() as url,
        echo() as bare,
        service(url) as full,
        grpc.aio.insecure_channel(bare.address) as to_bare,
        grpc.aio.insecure_channel(full.address) as to_full,
    ):
        users: Any = user_pb2_grpc.UserServiceStub(to_full)
        user = await create_user(users, "bench")
        get, message = user_pb2.GetUserRequest(name=user.name), user.SerializeToString()
        call: Any = to_bare.unary_unary("/bench.Echo/Echo")
        for round_ in range(ROUNDS + 1):
            figures = {
                "echo": await bare.cpu_us(lambda: call(message), CALLS),
                "GetUser": await full.cpu_us(lambda: users.GetUser(get), CALLS),
            }
            if round_:  # the first one warms up
                for label, figure in figures.items():
                    spent[label].append(figure)
    for label, measured in spent.items():
        each = sorted(map(round, measured))
        print(f"{label:8} {statistics.median(measured):6.0f} µs of server CPU a call, of {each}")
    ratios = [ours / bare for ours, bare in zip(spent["GetUser"], spent["echo"], strict=True)]
    print(f"ratio    {statistics.median(ratios):6.2f}")


if __name__ == "__main__":
    asyncio.run(main())
