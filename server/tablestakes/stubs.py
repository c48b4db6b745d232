"""Generating the stubs of protos: `python -m tablestakes.stubs protos generated`.

Protos may import what comes with the engine: `tablestakes_access/v1/access.proto`, who may call a method.

It needs the extra `new`: protoc (grpcio-tools) and its plug-ins for types (mypy-protobuf).
`buf/validate/validate.proto`, which protos import for their rules, comes with protovalidate as a descriptor and is
given to protoc as one.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))
RULES = "buf/validate/validate.proto"
ENGINE = Path(__file__).parent / "protos"
"""The protos of the engine, which those of services import."""


def generate(protos: Path, out: Path, *, compiler: Path | None = None, imported: bool = False) -> None:
    """Write the stubs of every proto below a folder.

    Args:
        protos: The root that import paths in the protos start from.
        out: The root to write packages below; it is created.
        compiler: A folder with grpcio-tools to use in place of the installed one.
        imported: Whether to write the stubs of `buf.validate` and of the engine's own protos as well, which those
            of the protos import; the package `tablestakes` has them.

    Raises:
        subprocess.CalledProcessError: The compiler refused a proto; its message is on standard error.
    """
    out.mkdir(parents=True, exist_ok=True)
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python")]
    outputs += [f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")]
    protoc(protos, *outputs, *files(protos), compiler=compiler)
    if imported:
        # They have no services: a caller needs their messages to load, and nothing else of them.
        outputs = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
        protoc(protos, *outputs, RULES, *files(ENGINE), compiler=compiler)
    for folder in {path.parent for path in out.rglob("*_pb2.py")}:
        (folder / "py.typed").touch()


def protoc(protos: Path, *arguments: str, compiler: Path | None = None) -> None:
    """Run protoc on protos below a folder, with the imports that annotations of APIs need.

    Args:
        protos: The root of the protos.
        arguments: protoc's arguments.
        compiler: As for `generate`.

    Raises:
        subprocess.CalledProcessError: protoc failed.
    """
    with tempfile.NamedTemporaryFile(suffix=".binpb") as rules:
        rules.write(buf_validate().SerializeToString())
        rules.flush()
        command = (
            *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={rules.name}"),
            # google/api and google/rpc come as files with googleapis-common-protos.
            *(f"--proto_path={protos}", f"--proto_path={ENGINE}", f"--proto_path={SITE_PACKAGES}"),
            *arguments,
        )
        # protoc finds mypy-protobuf's plug-ins on the path.
        environment = os.environ | {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
        if compiler is not None:
            environment["PYTHONPATH"] = str(compiler)
        subprocess.run(command, check=True, env=environment)  # noqa: S603 - the compiler that is named above


def files(protos: Path) -> list[str]:
    """Return the protos below a folder, by the paths that protoc takes."""
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


def buf_validate() -> descriptor_pb2.FileDescriptorSet:
    """Return `buf/validate/validate.proto` and its imports: its text is in no package, its descriptor is."""
    found = [
        module.DESCRIPTOR.serialized_pb for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    ]
    found.append(validate_pb.desc().proto.to_binary())
    return descriptor_pb2.FileDescriptorSet(
        file=[descriptor_pb2.FileDescriptorProto.FromString(file) for file in found]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tablestakes.stubs", description="Generate stubs of protos.")
    parser.add_argument("protos", type=Path, help="the folder of the protos")
    parser.add_argument("out", type=Path, help="the folder to write packages below")
    given = parser.parse_args(arguments)
    try:
        generate(given.protos, given.out)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
