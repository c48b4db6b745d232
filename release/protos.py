"""The protos as a module for a registry: `python -m release.protos FOLDER`, then `buf push FOLDER`.

In this repository the imports are modules of the same workspace, which buf would publish as well. A registry has
its own: the module names them as dependencies, whose versions `buf dep update` pins.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = "protos"


def module(out: Path) -> None:
    """Write the protos, the licence and a configuration of buf to a new folder.

    Raises:
        FileExistsError: The folder is there already.
    """
    workspace: dict[str, Any] = yaml.safe_load((ROOT / "buf.yaml").read_text())
    names = {each["path"]: each["name"] for each in workspace["modules"]}
    own = {
        "version": workspace["version"],
        "modules": [{"path": ".", "name": names.pop(PUBLISHED)}],
        "deps": sorted(names.values()),
    }
    shutil.copytree(ROOT / PUBLISHED, out, ignore=lambda _, found: [name for name in found if _is_left(name)])
    shutil.copy(ROOT / "LICENSE", out)
    (out / "buf.yaml").write_text(yaml.safe_dump(own, sort_keys=False))


def _is_left(name: str) -> bool:
    return name.startswith("__") or name.endswith((".py", ".binpb"))


if __name__ == "__main__":
    module(Path(sys.argv[1]))
