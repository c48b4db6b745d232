"""Server CPU for one GetUser, against a bare grpc.aio echo in the same run.

    DATABASE_URL=postgresql+asyncpg://… python benchmarks/cpu_per_rpc.py

The database must be migrated. Both servers run in processes of their own and are called in turn, 64 calls in
flight, after a warm-up; the figure is user and system time of the server's process (from /proc) for each call.
Machines differ and are shared: quote the ratio.
"""

import asyncio
import os
import statistics
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

ROUNDS, CALLS, IN_FLIGHT = 7, 4000, 64
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
ECHO = """
import asyncio, grpc, uvloop
async def echo(request, context):
    return request
async def main():
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_registered_method_handlers("bench.Echo", {"Echo": handler})
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    print("127.0.0.1:%d" % server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()
uvloop.run(main())
"""


async def main() -> None:
    """Measure, and print a line for each server and the ratio."""
    echo = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=asyncio.subprocess.PIPE)
    ours = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "serve", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"),
        *("--log-format=json", "--pool-timeout=10"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _compare(echo, ours)
    finally:
        for process in (echo, ours):
            process.terminate()
            await process.wait()


async def _compare(echo: asyncio.subprocess.Process, ours: asyncio.subprocess.Process) -> None:
    assert echo.stdout is not None
    assert ours.stderr is not None
    echo_address = (await echo.stdout.readline()).decode().strip()
    ours_address = (await ours.stderr.readline()).decode().partition('"grpc": "')[2].partition('"')[0]
    async with grpc.aio.insecure_channel(echo_address) as bare, grpc.aio.insecure_channel(ours_address) as full:
        users = user_pb2_grpc.UserServiceStub(full)
        name = f"bench_{uuid.uuid4().hex[:12]}"
        user = user_pb2.User(email=f"{name}@example.com", username=name, full_name="A Benchmark")
        made = await users.CreateUser(user_pb2.CreateUserRequest(user=user))
        get = user_pb2.GetUserRequest(name=made.name)
        call_echo: Any = bare.unary_unary("/bench.Echo/Echo")
        spent: dict[str, list[float]] = {"echo": [], "GetUser": []}
        for round_ in range(ROUNDS + 1):
            for label, process, call in (
                ("echo", echo, lambda: call_echo(made.SerializeToString())),
                ("GetUser", ours, lambda: users.GetUser(get)),
            ):
                before = _cpu_us(process.pid)
                await asyncio.gather(*(_calls(call, CALLS // IN_FLIGHT) for _ in range(IN_FLIGHT)))
                if round_:  # the first one warms up
                    spent[label].append((_cpu_us(process.pid) - before) / (CALLS // IN_FLIGHT * IN_FLIGHT))
    for label, figures in spent.items():
        print(
            f"{label:8} {statistics.median(figures):6.0f} µs of server CPU a call, of {sorted(map(round, figures))}"
        )
    ratios = [ours / bare for ours, bare in zip(spent["GetUser"], spent["echo"], strict=True)]
    print(f"ratio    {statistics.median(ratios):6.2f}")


async def _calls(call: Callable[[], Any], count: int) -> None:
    for _ in range(count):
        await call()


def _cpu_us(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * TICK_US


if __name__ == "__main__":
    asyncio.run(main())
