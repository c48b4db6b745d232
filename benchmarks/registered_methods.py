"""Server CPU of an echo whose methods are registered with gRPC's core, against one whose methods are not.

    python -m benchmarks.registered_methods

Both servers have as many methods as the marketplace, and are called in turn, after a warm-up. Quote the ratio.
"""

import asyncio
import statistics
from typing import Any

import grpc

from benchmarks.process import echo

ROUNDS, CALLS, METHODS = 9, 6400, 45


async def main() -> None:
    """Measure, and print both figures and their ratio."""
    spent: list[tuple[float, float]] = []
    async with (
        echo(more=METHODS, registered=True) as registered,
        echo(more=METHODS) as generic,
        grpc.aio.insecure_channel(registered.address) as to_registered,
        grpc.aio.insecure_channel(generic.address) as to_generic,
    ):
        calls: list[Any] = [channel.unary_unary("/bench.Echo/Echo") for channel in (to_registered, to_generic)]
        for round_ in range(ROUNDS + 1):
            figures = (
                await registered.cpu_us(lambda: calls[0](b"echo"), CALLS),
                await generic.cpu_us(lambda: calls[1](b"echo"), CALLS),
            )
            if round_:  # the first one warms up
                spent.append(figures)
    ratios = sorted(with_ / without for with_, without in spent)
    print(f"registered  {statistics.median(figure for figure, _ in spent):5.0f} µs of server CPU a call")
    print(f"generic     {statistics.median(figure for _, figure in spent):5.0f} µs")
    print(f"ratio       {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    asyncio.run(main())
