"""Stubs of a proto that a test has in its own text."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from protos.generate import generate

# Kept for the life of the process, and removed with it.
_FOLDER = tempfile.TemporaryDirectory(prefix="tablestakes-stubs-")


def stubs_of(package: str, proto: str) -> Any:
    """Return the module of the messages of a proto file.

    Args:
        package: The proto's package without its version: `shelf` for `shelf.v1`.
        proto: The text of the file.
    """
    protos, stubs = Path(_FOLDER.name, package, "protos"), Path(_FOLDER.name, package, "stubs")
    path = Path(protos, package, "v1", f"{package}.proto")
    path.parent.mkdir(parents=True)
    path.write_text(proto)
    generate(protos, stubs)
    sys.path.append(str(stubs))
    return importlib.import_module(f"{package}.v1.{package}_pb2")
