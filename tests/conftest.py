"""Fixtures: real databases, a real server on each, and real stubs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from tablestakes.app import App
from tests.postgres import Postgres, postgres
from tests.serving import create_database, serving, settings_for

DATABASES = ("sqlite", "postgresql")
_ran: dict[str, int] = dict.fromkeys(DATABASES, 0)


@pytest.fixture(scope="session")
def server_of_postgres() -> Iterator[Postgres]:
    """A PostgreSQL for every test that does not stop or freeze it."""
    with postgres() as server:
        yield server


@pytest.fixture
async def postgres_url(server_of_postgres: Postgres) -> str:
    """The URL of an empty PostgreSQL database of this test's own."""
    return await create_database(server_of_postgres)


@pytest.fixture(params=DATABASES)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of this test's own, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/test.db"
    return await create_database(request.getfixturevalue("server_of_postgres"))


@pytest.fixture(scope="session", params=DATABASES)
async def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """A server on each database, with the marketplace and the gadgets, for every test that does not stop it."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite')}/app.db"
    else:
        url = await create_database(request.getfixturevalue("server_of_postgres"))
    async with serving(settings_for(url)) as running:
        yield running


@pytest.fixture(scope="session")
async def channel(app: App) -> AsyncIterator[grpc.aio.Channel]:
    """A client's connection to the server."""
    async with grpc.aio.insecure_channel(app.address) as connected:
        yield connected


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what passed on which database, from the tests' own parameters."""
    if report.when == "call" and report.passed:
        for name in DATABASES:
            _ran[name] += f"[{name}" in report.nodeid or f"-{name}" in report.nodeid


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests passed on which database."""
    terminalreporter.write_line(", ".join(f"{count} passed on {name}" for name, count in _ran.items()))
