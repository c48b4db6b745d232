"""Text on a PostgreSQL whose database sorts by the rules of a language."""

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from marketplace.v1 import tag_pb2, tag_pb2_grpc, user_pb2, user_pb2_grpc
from sqlalchemy import make_url, text

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tests.postgres import Postgres, postgres
from tests.serving import serving, settings_for

LANGUAGES = ("en_US", "tr_TR")

IDS = ["a10q", "a-b0q", "ab", "a-c", "ch", "ci"]


@pytest.fixture(scope="module")
def server_with_languages() -> Iterator[Postgres]:
    """A PostgreSQL that knows the rules of some languages."""
    if not (compiler := shutil.which("localedef")):
        pytest.skip("localedef, which compiles the rules of a language, is not installed")
    with tempfile.TemporaryDirectory(prefix="tablestakes-locales-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        folder.chmod(0o755)  # the server may be another user's
        for language in LANGUAGES:
            rules = folder / f"{language}.UTF-8"
            command = [compiler, "-i", language, "-f", "UTF-8", str(rules)]
            made = subprocess.run(command, capture_output=True, check=False)
            if not rules.is_dir():
                pytest.skip(f"the rules of {language} are not installed: {made.stderr.decode()}")
        patch.setenv("LOCPATH", str(folder))
        with postgres() as server:
            yield server


@pytest.fixture(scope="module", params=LANGUAGES)
async def language_url(request: pytest.FixtureRequest, server_with_languages: Postgres) -> str:
    """The URL of an empty database that sorts by the rules of a language."""
    language: str = request.param
    address = make_url(server_with_languages.url("postgres")).set(drivername="postgresql").render_as_string()
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(
            f"CREATE DATABASE sorted_{language} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE '{language}.UTF-8'"
        )
    finally:
        await connection.close()
    return server_with_languages.url(f"sorted_{language.lower()}")


@pytest.fixture(scope="module")
async def channel(language_url: str) -> AsyncIterator[grpc.aio.Channel]:
    """A client of a service on such a database."""
    async with serving(settings_for(language_url)) as app, grpc.aio.insecure_channel(app.address) as connected:
        yield connected


async def test_names_are_listed_in_the_order_of_their_bytes(channel: grpc.aio.Channel, language_url: str) -> None:
    """ListTags has the same order on every database, page by page, though this one would sort otherwise."""
    tags = tag_pb2_grpc.TagServiceStub(channel)
    for id_ in IDS:
        await tags.CreateTag(tag_pb2.CreateTagRequest(tag_id=id_, tag=tag_pb2.Tag(display_name=id_)))
    database = open_database(settings_for(language_url))
    async with database.engine.connect() as connection:
        statement = text("SELECT display_name FROM tags ORDER BY display_name")
        own = list(await connection.scalars(statement))
    await database.close()
    assert own != sorted(IDS), "the database's own order is another one, or nothing is shown here"
    listed, request = [], tag_pb2.ListTagsRequest(page_size=2)
    while True:
        page = await tags.ListTags(request)
        listed += [tag.name.removeprefix("tags/") for tag in page.tags]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert listed == sorted(IDS)


async def test_case_is_folded_alike_in_every_language(channel: grpc.aio.Channel) -> None:
    """An e-mail address is kept in lower case by Unicode's rules, also where a language has rules of its own."""
    users = user_pb2_grpc.UserServiceStub(channel)
    user = user_pb2.User(email="IAN@EXAMPLE.COM", username="ian")
    made = await users.CreateUser(user_pb2.CreateUserRequest(user=user))
    assert made.email == "ian@example.com"
    again = user_pb2.User(email="Ian@Example.com", username="ian_too")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await users.CreateUser(user_pb2.CreateUserRequest(user=again))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_every_text_key_is_compared_bytewise(postgres_url: str) -> None:
    """On a migrated PostgreSQL each text in a primary or foreign key has the collation C."""
    database = open_database(settings_for(postgres_url, pool_size=2))
    await SERVICE.schema.upgrade(database)
    keys = text(
        "SELECT DISTINCT column_name, collation_name FROM information_schema.key_column_usage"
        " JOIN information_schema.table_constraints USING (constraint_name, table_name)"
        " JOIN information_schema.columns USING (table_name, column_name)"
        " WHERE constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY') AND data_type = 'character varying'"
        " AND table_name <> 'alembic_version'"
    )
    async with database.engine.connect() as connection:
        found: Any = (await connection.execute(keys)).all()
    await database.close()
    assert {tuple(row) for row in found} == {("id", "C"), ("tag_id", "C")}
