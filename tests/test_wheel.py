"""The engine as others install it: a wheel, in an environment of its own, and the project that it writes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "tests" / "library"
SERVING = re.compile(r'"grpc": "([^"]+)"')


def built(folder: Path, project: Path) -> Path:
    """Build the wheel of a project's source distribution, and of nothing else."""
    subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder),
        cwd=project,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (source,) = folder.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check")
    subprocess.run((*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source), check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout's source distribution."""
    return built(tmp_path_factory.mktemp("dist"), ROOT)


@pytest.fixture(scope="session")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with nothing in it but the wheel, its extras and their own needs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv")
    scripts = folder / "venv" / "bin"
    wanted = f"{wheel}[new,testing]"
    # As the Makefile does: uv where there is one, which takes a tenth of the time.
    if (uv := shutil.which("uv")) is None or subprocess.run(
        (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", scripts / "python", wanted), check=False
    ).returncode:
        pip = (
            sys.executable,
            "-m",
            "pip",
            "--python",
            scripts / "python",
            "--quiet",
            "--disable-pip-version-check",
        )
        subprocess.run((*pip, "install", wanted), check=True)
    return scripts


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, and return its output."""
    # This run's own settings of pytest are not those of the tests in there.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    found = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
    return found.stdout


def refused(*command: str | Path, cwd: Path) -> str:
    """Run a command that must fail, and return its one line of error."""
    found = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (1, "", 1)
    return found.stderr


def call(service: tuple[str | Path, ...], client: tuple[str | Path, ...], cwd: Path) -> str:
    """Run a service, and a client that is given its address; return the client's output."""
    free = ("--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json")
    with subprocess.Popen((*service, "serve", *free), cwd=cwd, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                if found := SERVING.search(line):
                    return run(*client, found[1], cwd=cwd)
            raise AssertionError("".join(lines))
        finally:
            process.terminate()


def test_the_source_distribution_builds_the_checkouts_wheel(wheel: Path, tmp_path: Path) -> None:
    """The wheel of the source distribution has the files of a wheel of the checkout, byte for byte."""
    subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path),
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (direct,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as left, zipfile.ZipFile(direct) as right:
        assert {each.filename: each.CRC for each in left.infolist()} == {
            each.filename: each.CRC for each in right.infolist()
        }


def test_the_source_distribution_is_what_is_committed(wheel: Path) -> None:
    """The source distribution has the protos, the locks and the tests, and no file that tools left behind."""
    (source,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"buf.yaml", "requirements/serve.lock", "tests/test_wheel.py", "third_party/README.md"} <= names
    assert not {name for name in names if name.startswith((".venv/", "dist/", "build/")) or "__pycache__" in name}


def test_the_stubs_have_the_version_of_the_service(wheel: Path, tmp_path: Path) -> None:
    """The version is written once: the stubs, built from their source distribution, have that of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name == f"tablestakes-{version}-py3-none-any.whl"
    assert built(tmp_path, ROOT / "generated").name == f"tablestakes_stubs-{version}-py3-none-any.whl"


def test_the_sbom_has_every_package(elsewhere: Path, tmp_path: Path) -> None:
    """`make sbom` writes a valid CycloneDX document of an environment: each package, its version and its needs."""
    sbom = tmp_path / "sbom.cdx.json"
    # It validates what it writes against CycloneDX's schema, and fails if it is not valid.
    run("make", "sbom", f"VENV={sys.prefix}", f"ENVIRONMENT={elsewhere.parent}", f"SBOM={sbom}", cwd=ROOT)
    document = json.loads(sbom.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "tablestakes")
    listed = json.loads(
        run(
            *(sys.executable, "-m", "pip", "--python", elsewhere / "python", "list", "--format=json"),
            "--disable-pip-version-check",
            cwd=tmp_path,
        )
    )
    installed = {each["name"].lower(): each["version"] for each in listed}
    del installed["tablestakes"]
    assert {each["name"].lower(): each["version"] for each in document["components"]} == installed
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert any(need.startswith("SQLAlchemy==") for need in needs["root-component"])
    assert str(ROOT) not in sbom.read_text()


BORROW = """
import sys

import grpc
from tests.library.stubs import library_pb2, library_service_pb2, library_service_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    library = library_service_pb2_grpc.LibraryServiceStub(channel)
    shelf = library.CreateShelf(library_service_pb2.CreateShelfRequest(shelf=library_pb2.Shelf(theme="Fiction")))
    assert library.GetShelf(library_service_pb2.GetShelfRequest(name=shelf.name)) == shelf
    print(shelf.theme)
"""


def test_another_teams_service_is_served_from_the_wheel(elsewhere: Path, tmp_path: Path) -> None:
    """A service that only imports the engine is served where nothing of this checkout is but the wheel."""
    shutil.copytree(LIBRARY, tmp_path / "tests" / "library", ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    start = "import sys; from tests.library.service import SERVICE; sys.exit(SERVICE.main())"
    service, client = (elsewhere / "python", "-c", start), (elsewhere / "python", "-c", BORROW)
    assert call(service, client, tmp_path) == "Fiction\n"


@pytest.fixture(scope="session")
def shop(elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that `tablestakes new shop` writes, installed."""
    folder = tmp_path_factory.mktemp("projects")
    assert "shop/ is written" in run(elsewhere / "tablestakes", "new", "shop", cwd=folder)
    pip = (sys.executable, "-m", "pip", "--python", elsewhere / "python", "install")
    run(*pip, "--quiet", "--no-deps", "--editable", ".", cwd=folder / "shop")
    return folder / "shop"


CLIENT = """
import sys

import grpc
from shop.v1 import item_pb2, item_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    items = item_pb2_grpc.ItemServiceStub(channel)
    item = items.CreateItem(item_pb2.CreateItemRequest(item=item_pb2.Item(display_name="Lamp", labels=["new"])))
    assert items.GetItem(item_pb2.GetItemRequest(name=item.name)) == item
    print(item.display_name, list(item.labels))
"""


def test_a_new_project_serves(shop: Path, elsewhere: Path) -> None:
    """A project that was just written serves its resource on the embedded database."""
    assert call((elsewhere / "shop",), (elsewhere / "python", "-c", CLIENT), shop) == "Lamp ['new']\n"


def test_a_new_project_passes_its_tests(shop: Path, elsewhere: Path) -> None:
    """A project that was just written passes the contract suite, on SQLite and on PostgreSQL."""
    output = run(elsewhere / "python", "-m", "pytest", "-q", cwd=shop)
    passed = re.search(r"(\d+) passed on sqlite, (\d+) passed on postgresql", output)
    assert passed, output
    assert int(passed[1]) > 10
    assert passed[1] == passed[2]
    assert "failed" not in output
    assert "skipped" not in output


def test_a_new_projects_models_and_migrations_agree(shop: Path, elsewhere: Path) -> None:
    """The migration that is drafted for a project that was just written changes nothing."""
    path = Path(run(elsewhere / "shop", "migration", "nothing", cwd=shop).strip())
    draft = path.read_text()
    path.unlink()
    assert draft.count("    pass\n") == 2


@pytest.mark.parametrize("name", ["Shop", "../shop"])
def test_no_project_is_written_for_an_impossible_name(elsewhere: Path, tmp_path: Path, name: str) -> None:
    """`tablestakes new` refuses a name that no package can have, in one line, and writes nothing."""
    assert "is no name of a package" in refused(elsewhere / "tablestakes", "new", name, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(elsewhere: Path, tmp_path: Path) -> None:
    """`tablestakes new` refuses a name whose folder exists, and leaves the folder as it is."""
    (tmp_path / "shop").mkdir()
    line = refused(elsewhere / "tablestakes", "new", "shop", cwd=tmp_path)
    assert line == "tablestakes: shop exists already\n"
    assert list((tmp_path / "shop").iterdir()) == []
