"""Filters of the grammar agree with plain Python over the same rows, on both databases."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine

from tablestakes.filter import Filters, Limits
from tests.filter.fields import FIELDS
from tests.filter.oracle import Tree, holds, trees, write
from tests.filter.world import SCHEMAS, World, build, world

EXAMPLES = 40
# The generated ones may look into as many texts as they have terms.
FILTERS = {name: Filters(SCHEMAS[name], Limits(scans=100)) for name in FIELDS}


def answer(connection: Connection, resource: str, text: str) -> list[str]:
    """Return the names of the resources that a filter in SQL is true of."""
    schema = SCHEMAS[resource]
    found = FILTERS[resource].read(text)
    assert found is not None
    compiled, parameters = found
    statement = select(*schema.names.columns).where(compiled.clause)
    return sorted(schema.names.format(tuple(row)) for row in connection.execute(statement, parameters))


def expected(known: World, resource: str, tree: Tree) -> list[str]:
    """Return the names of the messages that a filter is true of."""
    return sorted(name for name, message in known.messages[resource].items() if holds(tree, known, message))


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Connection]:
    """A connection to a SQLite in memory that has the rows."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        build(connection)
        yield connection
    engine.dispose()


@pytest.fixture(scope="module")
def known(sqlite: Connection) -> World:
    """The messages of the rows."""
    return world(sqlite)


each_resource = pytest.mark.parametrize("resource", FIELDS)


@each_resource
@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_filter_agrees_with_python_on_sqlite(
    sqlite: Connection, known: World, resource: str, data: st.DataObject
) -> None:
    """SQLite returns the resources of which plain Python says that the filter is true."""
    tree = data.draw(trees(FIELDS[resource]))
    assert answer(sqlite, resource, write(tree)) == expected(known, resource, tree), write(tree)


def drawn(resource: str) -> list[Tree]:
    """Return filters to ask all at once: a driver that waits cannot be called from within an example."""
    found: list[Tree] = []

    @settings(deadline=None, max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(trees(FIELDS[resource]))
    def collect(tree: Tree) -> None:
        found.append(tree)

    collect()
    return found


async def test_a_filter_agrees_with_python_on_postgresql(postgres_url: str, known: World) -> None:
    """PostgreSQL returns the resources of which plain Python says that the filter is true."""
    asked = [(resource, tree) for resource in FIELDS for tree in drawn(resource)]

    def work(connection: Connection) -> Sequence[Any]:
        build(connection)
        assert world(connection).messages.keys() == known.messages.keys()
        return [answer(connection, resource, write(tree)) for resource, tree in asked]

    engine = create_async_engine(postgres_url)
    try:
        async with engine.begin() as connection:
            answers = await connection.run_sync(work)
    finally:
        await engine.dispose()
    for (resource, tree), found in zip(asked, answers, strict=True):
        assert found == expected(known, resource, tree), write(tree)
