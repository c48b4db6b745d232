"""The 10,000th page of a million rows against the first, on PostgreSQL.

    python -m benchmarks.deep_pages

Of the default order, and of one of two fields, whole RPCs without the network, in turn after a warm-up. Quote the
ratios of the medians.
"""

import asyncio
import statistics
from time import perf_counter

from benchmarks.million import Products, million_products

PAGE, ROUNDS, WARM_UP = 10_000, 300, 30
ORDERS = {"default": "", "category, price_cents": "category, price_cents", "mixed": "category, price_cents desc"}


async def main() -> None:
    """Measure, and print the medians and their ratio for each order."""
    async with million_products() as products:
        for name, order in ORDERS.items():
            first, deep = await measure(products, order)
            print(
                f"{name:22} first page {first * 1e3:5.2f} ms  page {PAGE:,} {deep * 1e3:5.2f} ms"
                f"  ratio {deep / first:.2f}x"
            )


async def measure(products: Products, order: str) -> tuple[float, float]:
    """Return the median seconds of the first page and of the deep one."""
    token = await products.token_of(PAGE, order_by=order)
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_ in range(WARM_UP + ROUNDS):
        for taken, page_token in zip(seconds, ("", token), strict=True):
            start = perf_counter()
            page = await products.page(order_by=order, page_token=page_token)
            spent = perf_counter() - start
            assert page.next_page_token
            if round_ >= WARM_UP:
                taken.append(spent)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    asyncio.run(main())
