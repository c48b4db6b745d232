"""The engine as others install it: a wheel, in an environment of its own, and the projects that it writes."""

import asyncio
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.process import SERVING

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "tests" / "library"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    subprocess.run(command, check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with nothing in it but the wheel, its extras and their own needs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / "bin"
    pip = (scripts / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    subprocess.run((*pip, "install", f"{wheel}[new,testing]"), check=True)
    return scripts


async def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end, and return its output; its errors are in the assertion that it succeeds."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=os.environ | dict(environment or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def serve_and_call(command: tuple[str | Path, ...], cwd: Path, script: str, python: Path) -> str:
    """Serve with a command, run a client's script against it, and return what the client printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        *("--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json"),
        cwd=cwd,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        lines = []
        async for line in process.stderr:
            lines.append(line.decode())
            if found := SERVING.search(lines[-1]):
                break
        else:
            raise AssertionError("".join(lines))
        return await run(python, "-c", script, found["grpc"], cwd=cwd)
    finally:
        process.terminate()
        await process.communicate()


@pytest.fixture(scope="session")
async def shop(elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that `tablestakes new shop` writes, installed."""
    folder = tmp_path_factory.mktemp("projects")
    assert "shop/ is written" in await run(elsewhere / "tablestakes", "new", "shop", cwd=folder)
    await run(elsewhere / "pip", "install", "--quiet", "--no-deps", "--editable", ".", cwd=folder / "shop")
    return folder / "shop"


CLIENT = """
import sys

from shop.v1 import item_pb2, item_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    items = item_pb2_grpc.ItemServiceStub(channel)
    item = items.CreateItem(item_pb2.CreateItemRequest(item=item_pb2.Item(display_name="Lamp", labels=["new"])))
    assert items.GetItem(item_pb2.GetItemRequest(name=item.name)) == item
    print(item.display_name, list(item.labels))
"""


async def test_a_new_project_serves(shop: Path, elsewhere: Path) -> None:
    """A project that was just written serves its resource on the embedded database."""
    output = await serve_and_call((elsewhere / "shop", "serve"), shop, CLIENT, elsewhere / "python")
    assert output == "Lamp ['new']\n"


async def test_a_new_project_passes_its_tests(shop: Path, elsewhere: Path) -> None:
    """A project that was just written passes the contract suite, on SQLite and on PostgreSQL."""
    output = await run(elsewhere / "python", "-m", "pytest", "-q", cwd=shop)
    assert " passed" in output
    assert "failed" not in output
    assert "skipped" not in output


async def test_a_new_projects_models_and_migrations_agree(shop: Path, elsewhere: Path) -> None:
    """The migration that is drafted for a project that was just written changes nothing."""
    path = (await run(elsewhere / "shop", "migration", "nothing", cwd=shop)).strip()
    draft = Path(path).read_text()
    Path(path).unlink()
    assert draft.count("    pass") == 2


@pytest.mark.parametrize("name", ["Shop", "1shop", "shop-er", "../shop"])
async def test_a_name_that_is_none_of_a_package_is_refused(elsewhere: Path, tmp_path: Path, name: str) -> None:
    """`tablestakes new` refuses a name of which no package can be made, in one line, and writes nothing."""
    command = (elsewhere / "tablestakes", "new", name)
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert "is no name of a package" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(elsewhere: Path, tmp_path: Path) -> None:
    """`tablestakes new` refuses a name whose folder exists, and leaves the folder as it is."""
    (tmp_path / "shop").mkdir()
    command = (elsewhere / "tablestakes", "new", "shop")
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (1, "tablestakes: shop exists already\n")
    assert list((tmp_path / "shop").iterdir()) == []
