"""The oracle notices each policy that is left out, and PostgreSQL's own row security agrees with it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Select, select, text

from marketplace_service import SERVICE
from tablestakes.crud.method import Method
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.resource import Resource
from tablestakes.crud.row_policy import RowPolicy
from tablestakes.crud.security.restrict import OPTION, WRITE, secure
from tablestakes.crud.security.row_security import current_security
from tablestakes.database import Database, open_database
from tablestakes.policy.policies import Policies
from tests.policy.world import KINDS, PRINCIPALS, Kind, Principal, World, make
from tests.serving import create_database, make_schema, settings_for

METHODS: Sequence[Method] = SERVICE.bind(PageTokens(b""))
SCHEMAS = {each.schema.descriptor.full_name: each.schema for each in METHODS}
READS = {each.name: each for each in METHODS}
JUDGED = {f"marketplace.v1.{kind.singular}" for kind in KINDS}
POLICIES = [
    (resource, index)
    for resource in SERVICE.resources
    if resource.descriptor.full_name in JUDGED
    for index in range(len(resource.rows))
]


def _name(value: object) -> str:
    return value.descriptor.name if isinstance(value, Resource) else str(value)


@pytest.fixture(scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Database, World]]:
    """An embedded database that is full of rows, and under row security."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('oracle')}/market.db")
    await make_schema(settings)
    database, world = open_database(settings), make(7)
    for engine in database.engines.values():
        secure(engine.sync_engine)
    try:
        await database.transact(world.fill)
        yield database, world
    finally:
        await database.close()


async def differences(database: Database, world: World, policies: Policies) -> Iterator[tuple[str, str]]:
    """Return the resources and principals for whom some policies give other rows than the oracle."""

    def look(connection: Connection) -> list[tuple[str, str]]:
        found = []
        for kind in KINDS:
            for who in PRINCIPALS:
                read = _ids(kind)
                with as_caller(policies, who, kind):
                    seen = set(connection.scalars(read))
                    written = set(connection.scalars(read.execution_options(**{OPTION: WRITE})))
                if seen != kind.seen(world, who) or written != kind.written(world, who):
                    found.append((kind.plural, who.name))
        return found

    return iter(await database.run(look, reads=True))


def _ids(kind: Kind) -> Select[Any]:
    names = SCHEMAS[f"marketplace.v1.{kind.singular}"].names
    return select(names.id_column)


@contextmanager
def as_caller(policies: Policies, who: Principal, kind: Kind) -> Iterator[None]:
    """Put statements under the row security of a Get by somebody."""
    token = current_security.set(policies.of(who.caller, READS[f"Get{kind.singular}"]))
    try:
        yield
    finally:
        current_security.reset(token)


async def test_the_policies_are_those_of_the_oracle(filled: tuple[Database, World]) -> None:
    """The marketplace's policies give each principal the rows that the oracle gives."""
    database, world = filled
    assert not list(await differences(database, world, Policies(SERVICE.resources, SCHEMAS)))


def without_policy(resource: Resource, index: int) -> Policies:
    """Return the marketplace's policies, but for one."""
    less = replace(resource, rows=(*resource.rows[:index], *resource.rows[index + 1 :]))
    return Policies([less if each is resource else each for each in SERVICE.resources], SCHEMAS)


@pytest.mark.parametrize(("resource", "index"), POLICIES, ids=_name)
async def test_each_policy_is_missed(filled: tuple[Database, World], resource: Resource, index: int) -> None:
    """Without any one of the policies some principal has other rows than the oracle gives it."""
    database, world = filled
    assert list(await differences(database, world, without_policy(resource, index)))


TERMS = [
    (resource, index, kind)
    for resource, index in POLICIES
    for kind in ("read", "write")
    if getattr(resource.rows[index], kind)
]


@pytest.mark.parametrize(("resource", "index", "kind"), TERMS, ids=_name)
async def test_each_condition_is_missed(
    filled: tuple[Database, World], resource: Resource, index: int, kind: str
) -> None:
    """With any one condition gone, and every row in its place or none, some principal has other rows."""
    database, world = filled
    policy = resource.rows[index]
    for instead in ("", "*"):
        if getattr(policy, kind) == instead or (instead == "*" and kind == "write" and policy.read == policy.write):
            continue  # the same rows: what may be written is seen besides
        changed: RowPolicy = replace(policy, **{kind: instead})
        rows = (*resource.rows[:index], changed, *resource.rows[index + 1 :])
        other = replace(resource, rows=rows)
        policies = Policies([other if each is resource else each for each in SERVICE.resources], SCHEMAS)
        assert list(await differences(database, world, policies)), f"{kind} is {instead!r}"


ROW_SECURITY = """
CREATE FUNCTION me() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.me', true), '')::bigint $$;
CREATE FUNCTION admin() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(current_setting('app.admin', true), '') = 'yes' $$;
CREATE FUNCTION is_public(post bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS
    $$ SELECT state = 'PUBLISHED' AND delete_time IS NULL FROM posts WHERE id = post $$;
CREATE FUNCTION author_of(post bigint) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS
    $$ SELECT author_id FROM posts WHERE id = post $$;
ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
ALTER TABLE posts FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON posts FOR SELECT
    USING (admin() OR (state = 'PUBLISHED' AND delete_time IS NULL) OR author_id = me());
CREATE POLICY written ON posts FOR UPDATE USING (admin() OR author_id = me());
ALTER TABLE comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE comments FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON comments FOR SELECT
    USING (admin() OR is_public(post_id) OR author_id = me() OR author_of(post_id) = me());
CREATE POLICY written ON comments FOR UPDATE USING (admin() OR author_id = me());
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
CREATE POLICY all_of ON orders USING (admin() OR customer_id = me());
ALTER TABLE addresses ENABLE ROW LEVEL SECURITY;
ALTER TABLE addresses FORCE ROW LEVEL SECURITY;
CREATE POLICY all_of ON addresses USING (admin() OR user_id = me());
ALTER TABLE transfers ENABLE ROW LEVEL SECURITY;
ALTER TABLE transfers FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON transfers FOR SELECT USING (admin() OR source_id = me() OR destination_id = me());
CREATE POLICY written ON transfers FOR UPDATE USING (admin() OR source_id = me());
CREATE ROLE limited;
GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO limited;
"""


async def test_postgresql_has_the_same_rows_under_its_own_row_security(request: pytest.FixtureRequest) -> None:
    """FORCE ROW LEVEL SECURITY with the same rules, written by hand, gives each principal the same rows."""
    settings = settings_for(await create_database(request.getfixturevalue("server_of_postgres")))
    await make_schema(settings)
    database, world = open_database(settings), make(7)
    for engine in database.engines.values():
        secure(engine.sync_engine)
    policies = Policies(SERVICE.resources, SCHEMAS)

    def by_hand(kind: Kind, who: Principal, connection: Connection) -> tuple[set[int], set[int]]:
        connection.execute(text("SET LOCAL ROLE limited"))
        connection.execute(text(f"SET LOCAL app.me = '{who.user or ''}'"))
        connection.execute(text(f"SET LOCAL app.admin = '{'yes' if who.admin else 'no'}'"))
        seen = set(connection.scalars(text(f"SELECT id FROM {kind.table}")))  # noqa: S608 - a table of ours
        change = text(f"UPDATE {kind.table} SET update_time = now() RETURNING id")  # noqa: S608 - the same
        written = set(connection.scalars(change))
        connection.execute(text("RESET ROLE"))
        return seen, written

    def ours(kind: Kind, who: Principal, connection: Connection) -> tuple[set[int], set[int]]:
        schema = SCHEMAS[f"marketplace.v1.{kind.singular}"]
        with as_caller(policies, who, kind):
            seen = set(connection.scalars(_ids(kind)))
            change = schema.table.update().values(update_time=text("now()")).returning(schema.names.id_column)
            return seen, set(connection.scalars(change))

    try:
        await database.transact(world.fill)
        async with database.engine.begin() as connection:
            for statement in ROW_SECURITY.strip().split(";\n"):
                await connection.execute(text(statement))
        for kind in KINDS:
            for who in PRINCIPALS:
                theirs = await database.rehearse(partial(by_hand, kind, who))
                mine = await database.rehearse(partial(ours, kind, who))
                assert mine == theirs == (kind.seen(world, who), kind.written(world, who))
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP OWNED BY limited"))
            await connection.execute(text("DROP ROLE limited"))
        await database.close()
