"""Server CPU of an RPC on PostgreSQL, against a bare grpc.aio echo, and against another checkout of the service.

    python -m benchmarks.cpu_per_rpc [--against CHECKOUT] [--rounds 9]

The servers run in processes of their own and are called in turn, after a warm-up, with 64 calls in flight. Machines
differ and are shared: quote the ratios. The other checkout needs its own virtual environment (`make install` in
it).
"""

import argparse
import asyncio
import itertools
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import Process, create_user, echo, service

Calls = dict[str, Callable[[], Awaitable[object]]]

# How many calls of each a round makes: about a second of the server's time.
COUNTS = {"echo": 4096, "GetUser": 2048, "ListUsers of 100": 512, "CreateUser": 1024, "UpdateUser": 1024}
USERS = 100
_numbers = itertools.count()


async def main() -> None:
    """Measure, and print a row for each RPC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of the service, with a .venv of its own")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    async with AsyncExitStack() as opened:
        url = await opened.enter_async_context(migrated())
        bare = await opened.enter_async_context(echo())
        servers = {"here": await opened.enter_async_context(service(url))}
        if options.against is not None:
            python = options.against / ".venv" / "bin" / "python"
            servers["there"] = await opened.enter_async_context(service(url, python=python, folder=options.against))
        calls = {name: await _calls(server, opened) for name, server in servers.items()}
        to_bare = await opened.enter_async_context(grpc.aio.insecure_channel(bare.address))
        call: Any = to_bare.unary_unary("/bench.Echo/Echo")
        message = user_pb2.User(email="bench@example.com", username="bench").SerializeToString()
        spent: dict[tuple[str, str], list[float]] = {}
        for round_ in range(options.rounds + 1):
            figures = {("echo", "bare"): await bare.cpu_us(lambda: call(message), COUNTS["echo"])}
            for rpc in list(COUNTS)[1:]:
                for name, server in servers.items():
                    figures[rpc, name] = await server.cpu_us(calls[name][rpc], COUNTS[rpc])
            if round_:  # the first one warms up
                for key, figure in figures.items():
                    spent.setdefault(key, []).append(figure)
    _report(spent, compared="there" in servers)


async def _calls(server: Process, opened: AsyncExitStack) -> Calls:
    """Return what calls each RPC once on a server, on which there are users by now."""
    users: Any = user_pb2_grpc.UserServiceStub(
        await opened.enter_async_context(grpc.aio.insecure_channel(server.address))
    )
    made = [await create_user(users, f"bench_{next(_numbers)}") for _ in range(USERS)]
    get, page = user_pb2.GetUserRequest(name=made[0].name), user_pb2.ListUsersRequest(page_size=USERS)

    def create() -> Awaitable[object]:
        return create_user(users, f"made_{next(_numbers)}")

    def update() -> Awaitable[object]:
        number = next(_numbers)
        user = user_pb2.User(name=made[number % USERS].name, full_name=f"Bench {number}")
        called: Awaitable[object] = users.UpdateUser(
            user_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=["full_name"]))
        )
        return called

    return {
        "GetUser": lambda: users.GetUser(get),
        "ListUsers of 100": lambda: users.ListUsers(page),
        "CreateUser": create,
        "UpdateUser": update,
    }


def _report(spent: dict[tuple[str, str], list[float]], *, compared: bool) -> None:
    bare = spent["echo", "bare"]
    print(f"echo              {statistics.median(bare):6.0f} µs of server CPU a call")
    for rpc in list(COUNTS)[1:]:
        here = spent[rpc, "here"]
        line = f"{rpc:17} {statistics.median(here):6.0f} µs, {_ratio(here, bare)} of the echo"
        if compared:
            there = spent[rpc, "there"]
            line += f"; there {statistics.median(there):6.0f} µs: here costs {_ratio(here, there)} of it"
        print(line)


def _ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median of the paired ratios of two measurements, and their range."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    asyncio.run(main())
