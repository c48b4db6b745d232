"""An export of many rows takes no more memory than one of few; `make test-export` has a million of them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import product_pb2, product_pb2_grpc
from sqlalchemy import text

from tablestakes.app import App
from tests.serving import serving, settings_for

ROWS = int(os.environ.get("EXPORT_ROWS", "20000"))

# Bytes by which the process, the caller's side included, may grow after a tenth of the rows.
MOST = 24 << 20

STATM = Path("/proc/self/statm")

FILL = """
INSERT INTO products (display_name, category, price_cents, stock, create_time, update_time)
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
SELECT 'product ' || n, 'a category of many products', 100, 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM numbers
"""


@pytest.fixture
async def own(empty_url: str) -> AsyncIterator[App]:
    """A server of this test's own, whose database has many products."""
    settings = settings_for(empty_url, statement_timeout=300.0, default_deadline=300.0, log_level="info")
    async with serving(settings) as running:
        await running.database.run(lambda connection: connection.execute(text(FILL), {"rows": ROWS}))
        yield running


def _resident() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATM.exists(), reason="the memory of a process is read from Linux's /proc")
async def test_memory_does_not_grow_with_the_rows(own: App) -> None:
    """After a tenth of an export the process has all the memory that it takes, and every row comes once."""
    met, first, most = 0, 0, 0
    async with grpc.aio.insecure_channel(own.address) as channel:
        products: Any = product_pb2_grpc.ProductServiceStub(channel)
        last = 0
        async for response in products.ExportProducts(product_pb2.ExportProductsRequest()):
            ids = [int(product.name.rpartition("/")[2]) for product in response.products]
            assert last < ids[0]
            assert ids == sorted(set(ids))
            last = ids[-1]
            met += len(ids)
            most = max(most, _resident())
            if met <= ROWS // 10 or not first:
                first = most
    assert met == ROWS
    print(f"{met} rows; {first >> 20} MiB after a tenth, {most >> 20} MiB at most")  # noqa: T201 - for -rP
    assert most - first < MOST
