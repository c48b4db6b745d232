"""The telemetry can be copied into another program, which has SQLAlchemy and prometheus-client and little else."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tablestakes.telemetry

PROGRAM = Path(__file__).with_name("copied_program.py")
SYNCHRONOUS = ("sqlalchemy", "prometheus_client", "typing_extensions")
ASYNCHRONOUS = (*SYNCHRONOUS, "greenlet", "aiosqlite")


@pytest.mark.parametrize(
    ("parts", "packages", "loaded"),
    [
        pytest.param(["plain"], SYNCHRONOUS, "[]", id="without asyncio's packages"),
        pytest.param(["plain", "asynchronous"], ASYNCHRONOUS, "['aiosqlite', 'greenlet']", id="with them"),
    ],
)
def test_it_works_elsewhere(tmp_path: Path, parts: list[str], packages: tuple[str, ...], loaded: str) -> None:
    """Under another name, in an environment without gRPC and all else, both kinds of engines are observed."""
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
    # Isolated, and without the packages of this environment: what is not in `site` is not there.
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
