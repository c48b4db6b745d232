"""Releasing: protos as modules of buf, no break since the last release, and the licences of what is deployed."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos import imports
from protos.generate import COMPILER, DESCRIPTORS
from release import licences, protos
from tablestakes.stubs import SCRIPTS

ROOT = Path(__file__).resolve().parents[1]


def buf(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run buf in a folder, with a cache that is empty: nothing is fetched, and nothing was."""
    return subprocess.run(
        [str(part) for part in (SCRIPTS / "buf", *arguments)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "BUF_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of buf's workspace, to change."""
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    for name in ("protos", "server/tablestakes/protos", "third_party"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def breaking(workspace: Path, change: Callable[[str], str]) -> subprocess.CompletedProcess[str]:
    """Change the proto of users, and compare with the last release as `make check` does."""
    path = workspace / "protos" / "marketplace" / "v1" / "user.proto"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    (check,) = re.findall(r"^\t\$\(BIN\)/buf (breaking .+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return buf(workspace, *check.split())


def test_buf_builds_the_protos_alone(workspace: Path) -> None:
    """`buf build protos` finds every import in the workspace: it needs no network and no cache."""
    built = buf(workspace, "build", "protos", "--output", "image.binpb")
    assert built.returncode == 0, built.stderr
    files = {file.name for file in FileDescriptorSet.FromString((workspace / "image.binpb").read_bytes()).file}
    imported = {"google/api/http.proto", "buf/validate/validate.proto", "tablestakes_access/v1/access.proto"}
    assert imported | {"marketplace/v1/user.proto"} <= files


def test_a_break_is_refused(workspace: Path) -> None:
    """A field that the last release had may not leave its number."""
    found = breaking(workspace, lambda proto: re.sub(r"string full_name = \d+", "string full_name = 77", proto))
    assert found.returncode != 0
    assert '"full_name"' in found.stdout + found.stderr


def test_an_addition_is_no_break(workspace: Path) -> None:
    """A new field of a message is no break."""
    found = breaking(
        workspace, lambda proto: proto.replace("message User {", "message User {\n  string mood = 77;", 1)
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_java_options_are_those_of_aip_191() -> None:
    """Each proto has java_multiple_files, a java_outer_classname and a java_package that ends with its package."""
    files = FileDescriptorSet.FromString((ROOT / DESCRIPTORS).read_bytes()).file
    ours = [file for file in files if file.package.startswith("marketplace.")]
    assert ours
    for file in ours:
        name = Path(file.name).stem.title().replace("_", "") + "Proto"
        assert (file.options.java_outer_classname, file.options.java_multiple_files) == (name, True), file.name
        assert file.options.java_package == f"com.example.{file.package}"


def test_the_copies_of_imports_are_the_packages(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    """A copy that differs from the installed package's proto is named."""
    assert list(imports.stale(COMPILER)) == []
    date = Path("google", "type", "date.proto")
    monkeypatch.setattr(imports, "GOOGLEAPIS", workspace / "third_party" / "googleapis")
    monkeypatch.setattr(imports, "PROTOVALIDATE", workspace / "third_party" / "protovalidate")
    for path in (imports.GOOGLEAPIS / date, imports.PROTOVALIDATE / "buf" / "validate" / "validate.proto"):
        path.write_text(f"{path.read_text()}\nmessage Stray {{}}\n")
    lines = list(imports.stale(COMPILER))
    assert [re.findall(r"\w+\.proto", line) for line in lines] == [["date.proto"], ["validate.proto"]]


def test_the_module_to_publish(tmp_path: Path) -> None:
    """The module for a registry is every proto of ours, with the imports as dependencies and nothing of theirs."""
    protos.module(tmp_path / "module")
    written = {str(path.relative_to(tmp_path / "module")) for path in (tmp_path / "module").rglob("*.proto")}
    assert written == {str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto")}
    listed = buf(tmp_path, "config", "ls-modules", "--config", tmp_path / "module" / "buf.yaml", "--format", "name")
    assert (listed.returncode, listed.stdout) == (0, "buf.build/tablestakes/marketplace\n"), listed.stderr
    assert yaml.safe_load((tmp_path / "module" / "buf.yaml").read_text())["deps"] == [
        "buf.build/bufbuild/protovalidate",
        "buf.build/googleapis/googleapis",
        "buf.build/tablestakes/access",
    ]


def test_every_package_that_serves_has_its_licence_listed() -> None:
    """docs/licences.md has each package of serve.lock."""
    listed = {
        name.lower().replace("_", "-") for name in re.findall(r"^\| (\S+)", licences.LIST.read_text(), re.MULTILINE)
    }
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "serve.lock").read_text(), re.MULTILINE))
    assert locked
    assert locked <= listed


def test_a_licence_that_nobody_allowed_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """A package whose licence is not allowed fails the check, and is named."""
    assert "alembic" in licences.licences(["alembic"], allowed=["MIT"])
    with pytest.raises(subprocess.CalledProcessError):
        licences.licences(["alembic"], allowed=["Apache-2.0"])
    assert "alembic" in capfd.readouterr().err
