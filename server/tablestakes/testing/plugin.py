"""Fixtures for pytest: real databases, a service running on each of them, and the contract of each resource.

`pytest_plugins = ["tablestakes.testing.plugin"]` in tests/conftest.py brings them.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio

from tablestakes.app import App
from tablestakes.service import Service
from tablestakes.testing.postgres import MISSING, PACKAGE, Postgres, postgres
from tablestakes.testing.resource import Contract
from tablestakes.testing.served import Served
from tablestakes.testing.serving import create_database, service_at, serving, settings_for

DATABASES = ("sqlite", "postgresql")
INI = "tablestakes_service"
OWN = "TESTED_SERVICE"
NOTHING = "no resource"

# Linux keeps it in memory. A container may have as little as 64 MiB of it, and the suite's databases have a few.
MEMORY, ROOM = Path("/dev/shm"), 256 * 2**20  # noqa: S108 - what is in it is in a folder of its own

_ran: dict[str, int] = dict.fromkeys(DATABASES, 0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that names the service."""
    parser.addini(INI, "The service that the tests serve, as module:name.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks of the contract suite."""
    for mark in (
        "verbs(*names): the standard methods that a resource needs for a contract test to run on it",
        "traits(*names): what else it must have, as `Served.traits` names it",
        "behaviors(*numbers): the field behaviors that one of its fields must have",
    ):
        config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Serve the module's TESTED_SERVICE, and run a contract test for each resource that has what its marks name."""
    own = getattr(metafunc.module, OWN, None)
    if "service" in metafunc.fixturenames and own is not None:
        metafunc.parametrize("service", [own], indirect=True, scope="session", ids=[pytest.HIDDEN_PARAM])
    if "contract" in metafunc.fixturenames:
        served = _served(metafunc.config, metafunc.module)
        needed = _marked(metafunc, "verbs") | _marked(metafunc, "traits")
        found = served.matching(needed, _marked(metafunc, "behaviors"))
        metafunc.parametrize("resource_name", found or [NOTHING], scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the contract tests that no resource of the service has what it takes for."""
    idle = [each for each in items if _parameter(each, "resource_name") == NOTHING]
    if idle:
        config.hook.pytest_deselected(items=idle)
        items[:] = [each for each in items if each not in idle]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that passed on each database, by the tests' own parameters."""
    if report.when == "call" and report.passed:
        for name in DATABASES:
            _ran[name] += f"[{name}" in report.nodeid or f"-{name}" in report.nodeid


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests passed on each database."""
    terminalreporter.write_line(", ".join(f"{count} passed on {name}" for name, count in _ran.items()))


def _marked(metafunc: pytest.Metafunc, name: str) -> set[Any]:
    return {argument for mark in metafunc.definition.iter_markers(name) for argument in mark.args}


def _parameter(item: pytest.Item, name: str) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name) if callspec is not None else None


def _service(config: pytest.Config, module: object) -> Service:
    own = getattr(module, OWN, None)
    if isinstance(own, Service):
        return own
    if not (named := config.getini(INI)):
        raise pytest.UsageError(f'say which service to test: {INI} = "module:name" in pytest\'s section')
    return service_at(named)


@cache
def _served(config: pytest.Config, module: ModuleType) -> Served:
    """Return the resources that a module tests; what is read of descriptors is read once, not for each test."""
    return Served(_service(config, module), getattr(module, "PREPARATIONS", {}))


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that costs no wait for a disk where the system has one; nothing in it outlives the session.

    An embedded database waits for the disk at each COMMIT, and PostgreSQL is started with fsync off.
    """
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        with tempfile.TemporaryDirectory(prefix="tablestakes-", dir=MEMORY) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[], Postgres]]:
    """A function that returns the session's PostgreSQL; the first call starts it, or skips where it is missing."""
    with ExitStack() as started:
        found: list[Postgres] = []

        def start() -> Postgres:
            if PACKAGE is None:
                pytest.skip(MISSING)
            if not found:
                found.append(started.enter_context(postgres()))
            return found[0]

        yield start


@pytest.fixture(scope="session")
def server_of_postgres(start_postgres: Callable[[], Postgres]) -> Postgres:
    """A PostgreSQL for every test that does not stop or freeze it."""
    return start_postgres()


@pytest_asyncio.fixture(loop_scope="session")
async def postgres_url(server_of_postgres: Postgres) -> str:
    """The URL of an empty PostgreSQL database of this test's own."""
    return await create_database(server_of_postgres)


@pytest_asyncio.fixture(params=DATABASES, loop_scope="session")
async def empty_url(request: pytest.FixtureRequest, memory: Path) -> str:
    """The URL of an empty database of this test's own, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tempfile.mkdtemp(dir=memory)}/test.db"
    return await create_database(request.getfixturevalue("server_of_postgres"))


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Service:
    """The service that is tested: the module's SERVICE, or else the one that pytest's setting names."""
    given = getattr(request, "param", None)
    return cast(Service, given) if given is not None else _service(request.config, None)


Apps = Callable[[Service, str], Awaitable[App]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apps(start_postgres: Callable[[], Postgres], memory: Path) -> AsyncIterator[Apps]:
    """A function that returns a service running on a kind of database; each is started once for the session."""
    async with AsyncExitStack() as running:
        found: dict[tuple[int, str], App] = {}

        async def app_of(service: Service, database: str) -> App:
            key = (id(service), database)
            if key not in found:
                if database == "sqlite":
                    url = f"sqlite+aiosqlite:///{tempfile.mkdtemp(dir=memory)}/app.db"
                else:
                    url = await create_database(start_postgres())
                found[key] = await running.enter_async_context(serving(service, settings_for(service, url)))
            return found[key]

        yield app_of


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=DATABASES)
async def app(request: pytest.FixtureRequest, service: Service, apps: Apps) -> App:
    """The service running on each kind of database, for every test that does not stop it."""
    return await apps(service, request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def channel(app: App) -> AsyncIterator[grpc.aio.Channel]:
    """A client's connection to the service."""
    async with grpc.aio.insecure_channel(app.address) as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="session")
async def contract(request: pytest.FixtureRequest, resource_name: str, channel: grpc.aio.Channel) -> Contract:
    """One resource of the service, below a parent of this test's own where it has one."""
    served = _served(request.config, request.module)
    found = Contract(served, served.by_name[resource_name], channel)
    if not found.names.parent or found.names.singleton:
        return found
    return found.under(await found.new_parent())
