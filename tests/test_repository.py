"""The files that developers' tools read: hooks, the devcontainer, updates of dependencies."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


def hooks(stage: str) -> list[dict[str, Any]]:
    """Return the hooks of a stage of git."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    return [hook for repository in config["repos"] for hook in repository["hooks"] if stage in hook["stages"]]


def test_a_push_is_checked_as_by_continuous_integration() -> None:
    """The hooks of a push are the commands of .ci/run, without the tests."""
    commands = re.findall(r"^make .+$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert [hook["entry"] for hook in hooks("pre-push")] == [each for each in commands if " test" not in each]


def test_a_commit_is_checked_by_what_make_check_runs() -> None:
    """Each hook of a commit is a linter that `make check` runs as well, from the same environment."""
    checked = MAKEFILE.partition("\ncheck:")[2].partition("\n\n")[0] + (ROOT / "protos" / "generate.py").read_text()
    for hook in hooks("pre-commit"):
        program, verb = hook["entry"].removeprefix(".venv/bin/").split()[:2]
        assert f"{program} {verb}" in checked or f'"{program}", "{verb}"' in checked, hook["id"]


def test_the_devcontainer_runs_commands_of_the_makefile() -> None:
    """The devcontainer is built from a file beside it, and made ready by commands that the Makefile has."""
    folder = ROOT / ".devcontainer"
    config = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / config["build"]["dockerfile"]).is_file()
    make, *targets = config["postCreateCommand"].split()
    assert make == "make"
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_every_lock_but_the_compilers_is_updated() -> None:
    """Renovate reads each lock of Python packages, and leaves alone the compiler that is old on purpose."""
    config = json.loads((ROOT / "renovate.json").read_text())
    (pattern,) = config["pip_requirements"]["managerFilePatterns"]
    locks = {str(path.relative_to(ROOT)) for path in (ROOT / "requirements").glob("*.lock")}
    assert locks
    assert all(re.search(pattern.strip("/"), lock) for lock in locks)
    off = {
        name for rule in config["packageRules"] if rule.get("enabled") is False for name in rule["matchFileNames"]
    }
    assert locks & off == {"requirements/protoc.lock"}
