"""The telemetry can be copied into another program that has SQLAlchemy, prometheus-client, h11 and little else."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tablestakes.telemetry

PROGRAM = Path(__file__).with_name("copied_program.py")
SYNCHRONOUS = ("sqlalchemy", "prometheus_client", "h11", "typing_extensions")
ASYNCHRONOUS = (*SYNCHRONOUS, "greenlet", "aiosqlite")


@pytest.mark.parametrize(
    ("parts", "packages", "loaded"),
    [
        pytest.param(["plain"], SYNCHRONOUS, "[]", id="without asyncio's packages"),
        pytest.param(["plain", "asynchronous"], ASYNCHRONOUS, "['aiosqlite', 'greenlet']", id="with them"),
    ],
)
def test_a_copy_works_in_another_program(
    tmp_path: Path, parts: list[str], packages: tuple[str, ...], loaded: str
) -> None:
    """A copy under another name observes both kinds of engines, in an environment without the other packages."""
    site = tmp_path / "site"
    site.mkdir()
    for name in packages:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (site / source.name).symlink_to(source)
    copy = shutil.copytree(Path(tablestakes.telemetry.__file__).parent, site / "observed")
    for module in copy.rglob("*.py"):
        module.write_text(module.read_text().replace("tablestakes.telemetry", "observed"))
    # The process is isolated from the packages of this environment: it can import only what is in `site`.
    start = (
        f"import sys, runpy; sys.path.append({str(site)!r}); runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", start, tmp_path, *parts],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout.strip() == loaded
