"""PostgreSQL reads few of a million rows for a page, by its own account of the statement."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import event

from benchmarks.million import SIZE, Products, million_products

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

# A page, the row that says whether there is another, and both again for each range that is merged.
MOST_READ = 3 * (SIZE + 1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def products() -> AsyncIterator[Products]:
    """A million products."""
    async with million_products() as filled:
        yield filled


async def plan_of(products: Products, **fields: Any) -> dict[str, Any]:
    """Return the plan of the statement of a page, with what each node of it read."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    engine = products.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert len((await products.page(**fields)).products) == SIZE
    finally:
        event.remove(engine, "before_cursor_execute", note)
    statement, parameters = next(each for each in sent if "FROM products" in each[0])
    async with products.database.engine.connect() as connection:
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        found = (await connection.exec_driver_sql(explained, tuple(parameters))).scalar_one()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_read(plan: dict[str, Any]) -> float:
    """Return how many rows the scans of a plan read, with those that their conditions left out."""
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and not node.get("Plans")]
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    counts = (node["Actual Rows"] + sum(node.get(each, 0) for each in removed) for node in scans)
    return float(sum(count * node["Actual Loops"] for count, node in zip(counts, scans, strict=True)))


@pytest.mark.parametrize(
    "order", ["", "name desc", "category, price_cents", "category desc, price_cents desc", "price_cents"]
)
@pytest.mark.parametrize("number", [1, 10_000])
async def test_a_page_reads_a_page(products: Products, order: str, number: int) -> None:
    """The first page and the 10,000th, in each order with an index, read about a page of rows."""
    token = await products.token_of(number, order_by=order) if number > 1 else ""
    plan = await plan_of(products, order_by=order, page_token=token)
    assert rows_read(plan) <= MOST_READ, plan


async def test_a_mixed_order_reads_of_a_deep_page_no_more_than_its_ties(products: Products) -> None:
    """An order whose fields go different ways reads a page and the hundred rows of a category, at any depth."""
    token = await products.token_of(10_000, order_by="category, price_cents desc")
    plan = await plan_of(products, order_by="category, price_cents desc", page_token=token)
    assert rows_read(plan) <= MOST_READ + 400, plan


async def test_a_filtered_list_reads_a_page(products: Products) -> None:
    """A List whose filter and order one index serves reads about a page of rows."""
    fields = {"filter": 'category = "category 00042"', "order_by": "price_cents"}
    assert rows_read(await plan_of(products, **fields)) <= MOST_READ


async def test_a_total_of_a_million_is_the_planners(products: Products) -> None:
    """A total of more than are counted is an estimate, near the number, and no row is read for it."""
    page = await products.page(return_total_size=True)
    assert not page.HasField("total_size")
    assert 900_000 < page.estimated_total_size < 1_100_000
