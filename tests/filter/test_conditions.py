"""Filters as conditions for other callers than List: parameters by name, prefixes, other rows, and statements."""

from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.ext.asyncio import create_async_engine

from marketplace_service.models import Post
from tablestakes.filter import FilterError, Filters, check, compile_condition, parse
from tests.filter.world import SCHEMAS, build

POST = SCHEMAS["Post"]


def test_a_condition_has_parameters_of_its_own() -> None:
    """A condition with `$name` is given its value later, as the API has it, and lives beside another filter."""
    condition = check(parse("author = $caller AND title != $title"), POST, parameters={"caller", "title"})
    policy = compile_condition(condition, prefix="policy")
    chosen = Filters(POST).read("state = (DRAFT OR PUBLISHED)")
    assert chosen is not None
    statement = select(Post.id).where(policy.clause, chosen[0].clause).order_by(Post.id)
    with create_engine("sqlite://").connect() as connection:
        build(connection)
        given = policy.bind({"caller": "users/2", "title": 'a "*" b'})
        assert given == {"policy_0": 2, "policy_1": 'a "*" b'}
        found = list(connection.scalars(statement, given | chosen[1]))
        every = connection.execute(select(Post.id, Post.author_id, Post.state).order_by(Post.id))
        assert found == [row.id for row in every if row.author_id == 2 and row.state != "ARCHIVED"]
        assert found


def test_a_parameter_must_be_known_and_given() -> None:
    """A parameter that nobody declared is refused with a likely name, one without a value is a KeyError."""
    with pytest.raises(FilterError, match=r"\$calller is no parameter; did you mean caller\?"):
        check(parse("author = $calller"), POST, parameters={"caller"})
    policy = compile_condition(check(parse("author = $caller"), POST, parameters={"caller"}))
    with pytest.raises(KeyError):
        policy.bind()
    with pytest.raises(FilterError, match="must be of the form"):
        policy.bind({"caller": "someone"})


def test_a_condition_is_asked_of_other_rows() -> None:
    """A condition may be about the row of an alias, as in a statement that joins the table."""
    alias: Any = Post.__table__.alias("others")
    condition = check(parse("author.active AND tags:tags/jazz"), POST)
    compiled = compile_condition(condition, row=lambda column: alias.c[column.key])
    sql = str(select(alias.c.id).where(compiled.clause))
    assert "others.author_id" in sql
    assert "others.id" in sql
    assert "posts." not in sql.replace("posts AS others", "")


async def test_a_thousand_values_are_one_prepared_statement(postgres_url: str) -> None:
    """Filters of one shape are one text of a statement, so PostgreSQL prepares it once for each connection."""
    engine = create_async_engine(postgres_url)
    sent: set[str] = set()
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: sent.add(statement)
    )
    filters = Filters(POST)

    def work(connection: Connection) -> int:
        build(connection)
        sent.clear()
        for number in range(1000):
            when = f"{1970 + number}-01-01T00:00:00Z"
            text = f'title = "{number}*" AND author.username = "user{number}" AND create_time > "{when}"'
            found = filters.read(text)
            assert found is not None
            connection.execute(select(Post.id).where(found[0].clause), found[1]).all()
        prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT posts.id%'"
        return int(connection.exec_driver_sql(prepared).scalar_one())

    try:
        async with engine.begin() as connection:
            assert await connection.run_sync(work) == 1
    finally:
        await engine.dispose()
    assert len([each for each in sent if "posts" in each and "pg_prepared" not in each]) == 1
