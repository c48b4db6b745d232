"""Lint and format the protos, and generate the stubs of `generated/` from them.

`python protos/generate.py` formats and generates in place; with `--check` it changes nothing, and exits with 1
when a proto is not well formed or when what is committed is not what the protos say.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
GENERATED = ROOT / "generated"
# Everything under generated/ but its packaging is ours to overwrite.
PACKAGES = ("buf", "marketplace")
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))
# Kept apart from the virtual environment's packages: it is older than they are, on purpose (see protoc.in).
PROTOC = Path(sys.prefix) / "protoc"


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    check: bool = parser.parse_args().check
    _run(SCRIPTS / "buf", "format", PROTOS, *(("--diff", "--exit-code") if check else ("--write",)))
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, "generated")
        generate(PROTOS, fresh)
        _lint(Path(scratch, "image.binpb"))
        stale = sorted(_differences(fresh, GENERATED))
        if check:
            for path in stale:
                print(f"{GENERATED.name}/{path} is not what the protos say: run `make proto`", file=sys.stderr)
            return 1 if stale else 0
        for package in PACKAGES:
            shutil.rmtree(GENERATED / package, ignore_errors=True)
            shutil.copytree(fresh / package, GENERATED / package)
    return 0


def generate(protos: Path, out: Path) -> None:
    """Write the stubs of every proto below a folder, and of `buf.validate`, which they import.

    Args:
        protos: The root that import paths in the protos start from.
        out: The root to write packages below; it is created.

    Raises:
        subprocess.CalledProcessError: The compiler refused a proto; its words are on standard error.
    """
    out.mkdir(parents=True, exist_ok=True)
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python")]
    outputs += [f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")]
    _protoc(protos, *outputs, *_files(protos))
    # Rules, but no services: a caller needs its messages to load, and nothing else of it.
    _protoc(protos, f"--python_out={out}", f"--mypy_out=quiet:{out}", "buf/validate/validate.proto")
    for folder in {path.parent for path in out.rglob("*_pb2.py")}:
        (folder / "py.typed").touch()


def _lint(image: Path) -> None:
    """Lint the protos as a compiled image, for Buf's own registry of imports is not needed then."""
    _protoc(PROTOS, f"--descriptor_set_out={image}", "--include_imports", "--include_source_info", *_files(PROTOS))
    _run(SCRIPTS / "buf", "lint", image, "--config", PROTOS / "buf.yaml")


def _protoc(protos: Path, *arguments: str) -> None:
    """Run the pinned protoc on protos below a folder."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as rules:
        rules.write(_buf_validate().SerializeToString())
        rules.flush()
        _run(
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--descriptor_set_in={rules.name}",
            f"--proto_path={protos}",
            # google/api and google/rpc come as files with googleapis-common-protos.
            f"--proto_path={SITE_PACKAGES}",
            *arguments,
            # protoc finds mypy-protobuf's plug-ins on the path.
            environment={"PYTHONPATH": str(PROTOC), "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        )


def _buf_validate() -> descriptor_pb2.FileDescriptorSet:
    """Return `buf/validate/validate.proto` and its imports: its text is in no package, its descriptor is."""
    files = [
        module.DESCRIPTOR.serialized_pb for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    ]
    files.append(validate_pb.desc().proto.to_binary())
    return descriptor_pb2.FileDescriptorSet(
        file=[descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    )


def _files(protos: Path) -> list[str]:
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


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


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, env=os.environ | (environment or {}))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
