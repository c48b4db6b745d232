"""How many statements a read runs, for every resource on every database: never one for each row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from tablestakes.app import App
from marketplace_service.models import Base
from tests.contract.resource import SERVED, Contract

RELATIONSHIPS = [
    pytest.param(mapper.class_, relationship.key, id=f"{mapper.class_.__name__}.{relationship.key}")
    # The registry's are a set, and every process of the suite must see one order.
    for mapper in sorted(Base.registry.mappers, key=lambda mapper: mapper.class_.__name__)
    for relationship in mapper.relationships
]


@contextmanager
def counting(app: App) -> Iterator[list[str]]:
    """Collect the statements that the server runs."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = app.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.verbs("Create", "List")
async def test_a_longer_page_takes_no_more_statements(contract: Contract, app: App) -> None:
    """A page of 30 runs as many statements as one of 2: one, and one more for each collection."""
    for _ in range(31):
        await contract.create()
    ran = []
    for size in (2, 30):
        with counting(app) as statements:
            page, _ = await contract.page(page_size=size)
        assert len(page) == size
        ran.append(len(statements))
    assert ran == [1 + len(contract.plan.collections)] * 2


@pytest.mark.verbs("Get")
async def test_a_get_takes_one_statement_and_one_for_each_collection(contract: Contract, app: App) -> None:
    """Get runs one statement, and one more for each collection."""
    created = await contract.create()
    with counting(app) as statements:
        await contract.get(created.name)
    assert len(statements) == 1 + len(contract.plan.collections)


@pytest.mark.verbs("Create", "Update")
async def test_an_update_of_columns_takes_one_statement(contract: Contract, app: App) -> None:
    """An Update of a field that one column keeps runs one statement, and one more for each collection."""
    created = await contract.create()
    field = next(name for name in contract.changeable if name in contract.plan.fields)
    change = await contract.change_of(created)
    with counting(app) as statements:
        await contract.update(change, field)
    assert len(statements) == 1 + len(contract.plan.collections)


@pytest.mark.parametrize(("model", "key"), RELATIONSHIPS)
async def test_no_relationship_is_loaded_by_being_looked_at(
    model: type[Base], key: str, app: App, channel: Any
) -> None:
    """An object from the database refuses to load a relationship when it is touched."""
    resource = next(each for each in SERVED.values() if each.model is model)
    await Contract(resource, channel).create()

    def touch(connection: Connection) -> None:
        with Session(connection) as session:
            found = session.scalars(select(model).limit(1)).one()
            with pytest.raises(InvalidRequestError, match="is not available due to lazy='raise'"):
                getattr(found, key)

    await app.database.run(touch)
