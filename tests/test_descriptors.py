"""The protos outside of the project: compiled from the descriptors beside the stubs, and from nothing else."""

import os
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.generate import COMPILER
from tablestakes.stubs import SCRIPTS

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTORS = ROOT / "generated" / "marketplace" / "v1" / "descriptors.binpb"


def _run(folder: Path, *command: str | Path) -> str:
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        # As anybody's compiler: none of the project's paths is searched.
        env={"PYTHONPATH": str(COMPILER), "PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_descriptors_are_complete() -> None:
    """Every proto of the project is in the set, with its comments, and so is each import of any file in it."""
    files = {file.name: file for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file}
    protos = ROOT / "protos"
    assert {str(path.relative_to(protos)) for path in protos.rglob("*.proto")} <= files.keys()
    assert {name for file in files.values() for name in file.dependency} <= files.keys()
    user = files["marketplace/v1/user.proto"]
    assert any(location.leading_comments for location in user.source_code_info.location)


def test_protoc_makes_stubs_of_the_descriptors(tmp_path: Path) -> None:
    """In an empty folder protoc generates stubs from the set, without any proto of ours or of anybody else."""
    arguments = (f"--descriptor_set_in={DESCRIPTORS}", f"--python_out={tmp_path}", "marketplace/v1/wallet.proto")
    _run(tmp_path, sys.executable, "-P", "-m", "grpc_tools.protoc", *arguments)
    assert "DepositMoneyRequest" in (tmp_path / "marketplace" / "v1" / "wallet_pb2.py").read_text()


def test_buf_builds_the_descriptors(tmp_path: Path) -> None:
    """In an empty folder buf takes the set as an input, and needs no registry for its imports."""
    _run(tmp_path, SCRIPTS / "buf", "build", DESCRIPTORS, "--output", tmp_path / "image.binpb")
    built = FileDescriptorSet.FromString((tmp_path / "image.binpb").read_bytes())
    assert "marketplace/v1/wallet.proto" in {file.name for file in built.file}


def test_a_proto_of_anybody_imports_from_the_descriptors(tmp_path: Path) -> None:
    """A proto of anybody, which imports one of the project, compiles with the set for its imports."""
    (tmp_path / "own.proto").write_text(
        'syntax = "proto3";\npackage own.v1;\nimport "marketplace/v1/user.proto";\n'
        "message Guest {\n  marketplace.v1.User user = 1;\n}\n"
    )
    arguments = (f"--descriptor_set_in={DESCRIPTORS}", "--proto_path=.", "--python_out=.", "own.proto")
    _run(tmp_path, sys.executable, "-P", "-m", "grpc_tools.protoc", *arguments)
    assert (tmp_path / "own_pb2.py").exists()
