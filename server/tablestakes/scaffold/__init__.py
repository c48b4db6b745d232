"""`new`: writing a project that makes a service with the engine."""

import re
import subprocess
from importlib.metadata import distribution
from importlib.util import find_spec
from json import loads
from pathlib import Path
from typing import Any

from tablestakes.command import Command, CommandError

TEMPLATE = Path(__file__).with_name("template")
DISTRIBUTION = "tablestakes"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def write_project(name: str, folder: Path) -> None:
    """Write a project, with one resource and its stubs, that serves and passes its tests as it is.

    Args:
        name: The service's name, of which its proto package and its Python packages are made: `shop`.
        folder: The project's folder, which does not exist yet.

    Raises:
        CommandError: No package can have the name, the folder is there already, or the extra `new` is missing.
    """
    if not _NAME.fullmatch(name):
        raise CommandError(f"{name!r} is no name of a package: use lower-case letters, digits and underscores")
    if folder.exists():
        raise CommandError(f"{folder} exists already")
    if absent := [module for module in ("copier", "grpc_tools", "mypy_protobuf") if find_spec(module) is None]:
        raise CommandError(f"{absent[0]} is missing: pip install '{DISTRIBUTION}[new]'")
    # The extra `new`: no other command needs it.
    from copier import run_copy  # noqa: PLC0415

    from tablestakes.stubs import generate  # noqa: PLC0415

    given = {"name": name, "engine": requirement(), "engine_extras": requirement("new", "testing")}
    run_copy(str(TEMPLATE), folder, data=given, defaults=True, quiet=True)
    try:
        generate(folder / "protos", folder / "generated")
    except subprocess.CalledProcessError as error:
        raise CommandError(f"protoc failed, with exit code {error.returncode}") from None


def requirement(*extras: str) -> str:
    """Return the requirement by which a project gets the engine from the same place as this one (PEP 508, 610)."""
    found = distribution(DISTRIBUTION)
    name = f"{DISTRIBUTION}[{','.join(extras)}]" if extras else DISTRIBUTION
    origin = loads(found.read_text("direct_url.json") or "{}")
    return f"{name} @ {origin['url']}" if "url" in origin else f"{name}~={found.version}"


def _run(given: dict[str, Any]) -> None:
    name: str = given["name"]
    write_project(name, Path(name))
    print(f"{name}/ is written: cd {name}, then `make serve` or `make test`")  # noqa: T201 - it speaks to its user


NEW = Command(
    name="new",
    meaning="write a project that makes a service with this engine, into a folder of its name",
    run=_run,
    arguments=("name",),
    takes="NAME",
    epilog="NAME is the service's name, such as shop.",
)
