"""How many statements a read runs, for every resource on every database: never one for each row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from tablestakes.app import App
from tablestakes.testing.contract.common import (
    SESSION_LOOP,
)
from tablestakes.testing.resource import Contract
from tablestakes.testing.served import relationships


@contextmanager
def counting(app: App) -> Iterator[list[str]]:
    """Collect the statements that the server runs, except those that begin a transaction or a part of one."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            statements.append(statement)

    engines = [engine.sync_engine for engine in app.database.engines.values()]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@SESSION_LOOP
class TestStatements:
    """How many statements a read runs, for every resource on every database: never one for each row."""

    @pytest.mark.verbs("Create", "List")
    async def test_a_longer_page_takes_no_more_statements(self, contract: Contract, app: App) -> None:
        """A page of 8 runs as many statements as one of 2: one, and one more for each collection."""
        for _ in range(9):
            await contract.create()
        ran = []
        for size in (2, 8):
            with counting(app) as statements:
                page, _ = await contract.page(page_size=size)
            assert len(page) == size
            ran.append(len(statements))
        assert ran == [1 + len(contract.facts.collections)] * 2

    @pytest.mark.verbs("Get")
    async def test_a_get_takes_one_statement_and_one_for_each_collection(
        self, contract: Contract, app: App
    ) -> None:
        """Get runs one statement, and one more for each collection."""
        created = await contract.create()
        with counting(app) as statements:
            await contract.get(created.name)
        assert len(statements) == 1 + len(contract.facts.collections)

    @pytest.mark.verbs("Create", "Update")
    async def test_an_update_of_columns_takes_one_statement(self, contract: Contract, app: App) -> None:
        """An Update of a field that one column keeps runs one statement, and one more for each collection."""
        created = await contract.create()
        field = next(name for name in contract.changeable if contract.facts.columns(name))
        change = await contract.change_of(created)
        with counting(app) as statements:
            await contract.update(change, field)
        assert len(statements) == 1 + len(contract.facts.collections)

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("relationships")
    async def test_no_relationship_is_loaded_by_being_looked_at(self, contract: Contract, app: App) -> None:
        """An object from the database refuses to load a relationship when it is touched."""
        model: Any = contract.resource.model
        await contract.create()

        def touch(connection: Connection) -> None:
            with Session(connection) as session:
                found = session.scalars(select(model).limit(1)).one()
                for key in relationships(contract.facts):
                    with pytest.raises(InvalidRequestError, match="is not available due to lazy='raise'"):
                        getattr(found, key)

        await app.database.run(touch)
