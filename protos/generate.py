"""Lint and format the protos, and generate the stubs and the descriptors of `generated/` from them.

`python -m protos.generate` formats and generates in place; with `--check` it changes nothing, and exits with 1
when a proto is not well formed, when the committed stubs are not those of the protos, or when the copies of imports
in `third_party/` are not those of the packages that the service runs with.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from protos import imports
from tablestakes.stubs import SCRIPTS, files, protoc
from tablestakes.stubs import generate as generate_with

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
GENERATED = ROOT / "generated"
# Everything under generated/ but its packaging is ours to overwrite.
PACKAGES = ("buf", "marketplace")
# The protos for whoever generates stubs of their own.
DESCRIPTORS = Path("marketplace", "v1", "descriptors.binpb")
# The compiler is kept apart from the virtual environment's packages: it is older, on purpose (see protoc.in).
COMPILER = Path(sys.prefix) / "protoc"


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    check: bool = parser.parse_args().check
    _run(SCRIPTS / "buf", "format", PROTOS, *(("--diff", "--exit-code") if check else ("--write",)))
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, "generated")
        generate(PROTOS, fresh)
        describe(PROTOS, fresh / DESCRIPTORS)
        stale = [
            f"{GENERATED.name}/{path} is not what the protos say: run `make proto`"
            for path in sorted(_differences(fresh, GENERATED))
        ]
        if not check:
            imports.copy()
            for package in PACKAGES:
                shutil.rmtree(GENERATED / package, ignore_errors=True)
                shutil.copytree(fresh / package, GENERATED / package)
            stale.clear()
        stale += imports.stale(COMPILER)
        # After the stubs are written: what is only not in good style still has stubs to go on with.
        _run(SCRIPTS / "buf", "lint", PROTOS)
        for line in stale:
            print(line, file=sys.stderr)
    return 1 if stale else 0


def generate(protos: Path, out: Path) -> None:
    """Write the stubs of every proto below a folder, and of `buf.validate`, with the pinned compiler."""
    generate_with(protos, out, compiler=COMPILER, rules=True)


def describe(protos: Path, out: Path) -> None:
    """Write every proto below a folder, and all that they import, as one compiled set of descriptors.

    Any compiler of protos takes it: whoever has it needs neither our imports nor a registry of them.
    """
    options = (f"--descriptor_set_out={out}", "--include_imports", "--include_source_info")
    protoc(protos, *options, *files(protos), compiler=COMPILER)


def _differences(fresh: Path, committed: Path) -> Iterator[str]:
    """Yield the paths that are in one tree only, or differ in a byte."""
    for package in PACKAGES:
        for tree, other in ((fresh, committed), (committed, fresh)):
            for path in (tree / package).rglob("*"):
                name = path.relative_to(tree)
                if path.is_file() and "__pycache__" not in name.parts:
                    twin = other / name
                    if not twin.is_file() or (tree is fresh and not filecmp.cmp(path, twin, shallow=False)):
                        yield str(name)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
