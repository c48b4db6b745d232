"""The locks: what serves, what builds and what the demo needs are kept apart, and agree."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """Return the versions that a lock pins, by package; each must have a hash."""
    pins = re.findall(
        r"^([a-z0-9._-]+)(?:\[\S+\])?==([^\s;]+)[^\\\n]*(\\\n +--hash=sha256:)?",
        (ROOT / "requirements" / f"{name}.lock").read_text(),
        re.MULTILINE,
    )
    assert all(hashed for *_, hashed in pins), name
    return {package: version for package, version, _ in pins}


def named(requirements: list[str]) -> set[str]:
    """Return the names of the packages that requirements ask for."""
    return {re.split(r"[\[<>=~!; ]", each)[0] for each in requirements}


def test_nothing_that_builds_is_in_what_serves() -> None:
    """The build tools are in a lock of their own: serve.lock, and so the image, has the dependencies alone."""
    serve, build = locked("serve"), locked("build")
    assert named(PROJECT["project"]["dependencies"]) <= serve.keys()
    assert named(PROJECT["dependency-groups"]["build"]) <= build.keys()
    assert not serve.keys() & build.keys()


def test_the_demo_adds_its_extra_to_what_serves() -> None:
    """demo.lock is serve.lock and what the extra `demo` brings, and nothing of the developers' set."""
    serve, demo, develop = locked("serve"), locked("demo"), locked("develop")
    assert serve.items() < demo.items() <= develop.items()
    assert named(PROJECT["project"]["optional-dependencies"]["demo"]) <= demo.keys() - serve.keys()
    assert "pytest" not in demo


@pytest.mark.parametrize("name", ["serve", "build", "demo", "image"])
def test_the_locks_agree_with_the_developers(name: str) -> None:
    """The versions of each lock are those of develop.lock, which the tests use."""
    assert locked(name).items() <= locked("develop").items()


def test_the_image_adds_traces_to_what_serves() -> None:
    """image.lock is serve.lock and what the extra `otel` brings, and nothing that builds."""
    serve, image = locked("serve"), locked("image")
    assert serve.items() < image.items()
    assert named(PROJECT["project"]["optional-dependencies"]["otel"]) <= image.keys() - serve.keys()
    assert not image.keys() & locked("build").keys()
