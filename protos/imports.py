"""The copies of what the protos import, in `third_party/`: buf compiles them, and needs no registry.

They are the protos of packages that are installed: google.api and google.type word for word, and buf.validate,
which protovalidate has as a descriptor only, as a proto that compiles to that descriptor.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tablestakes.stubs import RULES, SITE_PACKAGES, buf_validate, files, protoc

THIRD_PARTY = Path(__file__).resolve().parents[1] / "third_party"
GOOGLEAPIS = THIRD_PARTY / "googleapis"
PROTOVALIDATE = THIRD_PARTY / "protovalidate"


def stale(compiler: Path) -> Iterator[str]:
    """Yield a line for each copy that is not the installed package's; `compiler` is the folder of grpcio-tools."""
    for path in files(GOOGLEAPIS):
        if (GOOGLEAPIS / path).read_bytes() != (SITE_PACKAGES / path).read_bytes():
            yield f"third_party/googleapis/{path} is not that of googleapis-common-protos: run `make proto`"
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch, "compiled.binpb")
        # By its path in our folder: by its name, protoc would take the installed descriptor.
        protoc(PROTOVALIDATE, f"--descriptor_set_out={compiled}", str(PROTOVALIDATE / RULES), compiler=compiler)
        (ours,) = FileDescriptorSet.FromString(compiled.read_bytes()).file
    if ours not in buf_validate().file:
        yield f"third_party/protovalidate/{RULES} is not that of protovalidate: see third_party/README.md"


def copy() -> None:
    """Copy google.api and google.type anew; `buf.validate` is in no package as a text."""
    for path in files(GOOGLEAPIS):
        (GOOGLEAPIS / path).write_bytes((SITE_PACKAGES / path).read_bytes())
