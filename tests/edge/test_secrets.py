"""What no log may hold: rows, values and the variables of a function."""

import contextlib
import importlib.util
import io
import logging
from collections.abc import Callable, Iterator

import grpc
import pytest
import structlog
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import text

from tablestakes.logs import configure
from tests.serving import serving, settings_for
from tests.status import Refusal, refusal

CANARY = "forbidden-canary"

# What refuses the canary by a constraint that belongs to no field of the API.
CHECKS = {
    "postgresql": (f"ALTER TABLE users ADD CONSTRAINT hidden CHECK (full_name <> '{CANARY}')",),
    # SQLite adds a CHECK to a table with a column alone.
    "sqlite": (f"ALTER TABLE users ADD COLUMN hidden INTEGER CONSTRAINT hidden CHECK (full_name <> '{CANARY}')",),
}
# What refuses it in words of its own, which quote it.
TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no %', NEW.full_name; END $$",
        "CREATE TRIGGER hidden BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
    "sqlite": (f"CREATE TRIGGER hidden BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no {CANARY}'); END",),
}


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Log everything as the service does, in each of its formats, and tell what was logged."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("aiosqlite", "alembic", "asyncio", "grpc")}
    root.handlers = []  # configure() would close those of pytest
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        configure("debug", json=request.param == "json")
    # Or a logger would keep this configuration for good.
    structlog.configure(cache_logger_on_first_use=False)
    own, root.handlers = root.handlers, [*handlers, *root.handlers]
    yield written.getvalue
    for handler in own:
        root.removeHandler(handler)
    root.setLevel(level)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)
    structlog.configure(**before)


async def refused_by(url: str, ddl: tuple[str, ...]) -> Refusal:
    """Return what the Create of a canary is told by a service whose database refuses it."""
    async with serving(settings_for(url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        async with app.database.engine.begin() as connection:
            for statement in ddl:
                await connection.execute(text(statement.replace(":", "\\:")))
        users = user_pb2_grpc.UserServiceStub(channel)
        user = user_pb2.User(email=f"{CANARY}@example.com", username="canary", full_name=CANARY)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await users.CreateUser(user_pb2.CreateUserRequest(user=user))
        assert CANARY not in f"{caught.value!r} {caught.value.trailing_metadata()}"
        return refusal(caught.value)


def dialect(url: str) -> str:
    """Return the name of the database of a URL."""
    return url.partition("+")[0]


async def test_a_row_that_is_refused_is_in_no_log(empty_url: str, logged: Callable[[], str]) -> None:
    """A constraint that no field knows is INTERNAL: the log has its id, its place and its name, and not the row."""
    told = await refused_by(empty_url, CHECKS[dialect(empty_url)])
    assert told.code is grpc.StatusCode.INTERNAL
    lines = logged()
    assert CANARY not in lines
    (line,) = (line for line in lines.splitlines() if told.info.metadata["errorId"] in line)
    assert "hidden" in line
    assert "/marketplace.v1.UserService/CreateUser" in line


async def test_the_words_of_a_trigger_are_in_no_log(empty_url: str, logged: Callable[[], str]) -> None:
    """What the database says in words of its own reaches neither the caller nor the log."""
    told = await refused_by(empty_url, TRIGGERS[dialect(empty_url)])
    lines = logged()
    assert CANARY not in lines
    if dialect(empty_url) == "postgresql":
        assert told.code is grpc.StatusCode.INTERNAL
        assert told.info.metadata["errorId"] in lines


def test_a_traceback_shows_no_variables(logged: Callable[[], str]) -> None:
    """An exception is logged with its frames and without what was in them, where rich is installed too."""
    assert importlib.util.find_spec("rich"), "or structlog would have nothing to show variables with"

    def fail(password: str) -> None:
        raise ValueError(f"{len(password)} characters")

    try:
        # In two parts: a line of the source is a part of a traceback, and its values are not.
        fail("-".join(("forbidden", "canary")))
    except ValueError:
        structlog.get_logger().exception("failed")
    lines = logged()
    assert "ValueError: 16 characters" in lines
    assert "in fail" in lines
    assert CANARY not in lines
