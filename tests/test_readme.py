"""The README's steps, followed word for word in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"[Ww]rite `([^`]+)`:\s*$")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the checkout's files, with this environment in it."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file may be deleted and not committed yet
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
            # Older than the environment, which make must take as it is: it is this checkout's.
            os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def blocks(heading: str) -> Iterator[tuple[str, str, str]]:
    """Yield each block of a section of the README: the line before it, its language and its text."""
    readme = (ROOT / "README.md").read_text()
    section = readme.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for found in BLOCK.finditer(section):
        before = section[: found.start()].rstrip().rpartition("\n")[2]
        yield before, found["language"], textwrap.dedent(found["text"])


def follow(folder: Path, heading: str) -> list[str]:
    """Write the files of a section, apply its differences and run its commands, and return what these printed."""
    # The environment has this checkout installed: the copy's packages come first.
    paths = os.pathsep.join(str(folder / name) for name in ("server", "generated", "."))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MAKE", "MFLAGS"))}
    outputs = []
    for before, language, text in blocks(heading):
        if written := FILE.search(before):
            (folder / written[1]).write_text(text)
        elif language == "diff":
            subprocess.run(("git", "apply", "-"), cwd=folder, input=text, text=True, check=True)
        elif language == "console":
            for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
                found = subprocess.run(  # noqa: S602 - the README's own lines
                    line,
                    shell=True,
                    cwd=folder,
                    env=kept | {"PYTHONPATH": paths},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                assert found.returncode == 0, f"{line}\n{found.stdout}"
                outputs.append(found.stdout)
    return outputs


def test_a_resource_is_added_as_the_readme_says(copy: Path) -> None:
    """The steps of "Add a resource" end in a resource that passes the contract suite on both databases."""
    *_, migration, tests = follow(copy, "Add a resource")
    assert "create_shelves" in migration
    passed = re.search(r"(\d+) passed on sqlite, (\d+) passed on postgresql", tests)
    assert passed, tests
    assert int(passed[1]) > 10
    assert passed[1] == passed[2]
    assert "failed" not in tests


def test_the_readme_adds_files_that_are_well_formed(copy: Path) -> None:
    """The files of "Add a resource" pass the linter and the formatter as they stand in the README."""
    paths = []
    for before, language, text in blocks("Add a resource"):
        if (written := FILE.search(before)) and language == "python":
            (copy / written[1]).write_text(text)
            paths.append(copy / written[1])
    assert len(paths) == 2
    for command in (("ruff", "check"), ("ruff", "format", "--check")):
        found = subprocess.run(
            (sys.executable, "-m", *command, *paths), cwd=copy, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout
