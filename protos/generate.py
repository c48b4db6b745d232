"""Lint and format the protos, and generate from them the stubs, the descriptors and the API reference.

`python -m protos.generate` formats and generates in place; with `--check` it changes nothing, and exits with 1
when a proto is not well formed, when a committed file is not what the protos say, or when the copies of imports in
`third_party/` are not those of the packages that the service runs with.
"""

import argparse
import filecmp
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos import imports
from protos.openapi.document import document
from protos.openapi.index import Index
from protos.openapi.page import page
from tablestakes.client.config import service_config
from tablestakes.client.generate import clients, services_of
from tablestakes.stubs import ENGINE, SCRIPTS, files, protoc
from tablestakes.stubs import generate as generate_with

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
# Everything below these is ours to overwrite; the packaging of generated/ is not.
TREES = (*(Path("generated", each) for each in ("buf", "marketplace", "tablestakes_access")), Path("docs", "api"))
STUBS = Path("generated")
# The protos for whoever generates stubs of their own.
DESCRIPTORS = Path("generated", "marketplace", "v1", "descriptors.binpb")
# The protos for Envoy, which makes JSON of them: with the types of error details, and without comments.
TRANSCODED = Path("k8s", "envoy", "descriptors.binpb")
ERRORS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
# Python clients with a method for each RPC, and the service configs of clients in any language: one for those that
# send a request_id with each write, and one for all others.
CLIENTS = Path("generated", "marketplace", "v1", "clients.py")
CONFIGS = {
    Path("generated", "marketplace", "v1", "service_config.json"): False,
    Path("generated", "marketplace", "v1", "service_config_with_request_ids.json"): True,
}
# The API reference: for programs, and for people.
OPENAPI, PAGE = Path("docs", "api", "openapi.json"), Path("docs", "api", "index.html")
PACKAGE = "marketplace.v1"
DESCRIPTION = """\
The sample service of Tablestakes, by gRPC, gRPC-Web and JSON over HTTP.

An error is a google.rpc.Status in JSON: its code, its message, and details for programs, of which the first is a \
google.rpc.ErrorInfo (AIP-193). A 64-bit number is a string, a field that has its zero value is left out of an \
answer, and a member of a body that no field has is ignored (ProtoJSON)."""
# The compiler is kept apart from the virtual environment's packages: it is older, on purpose (see protoc.in).
COMPILER = Path(sys.prefix) / "protoc"


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    check: bool = parser.parse_args().check
    for folder in (PROTOS, ENGINE):
        _run(SCRIPTS / "buf", "format", folder, *(("--diff", "--exit-code") if check else ("--write",)))
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(PROTOS, fresh / STUBS)
        describe(PROTOS, fresh / DESCRIPTORS)
        _refer(fresh)
        stale = [
            f"{path} is not what the protos say: run `make proto`" for path in sorted(_differences(fresh, ROOT))
        ]
        if not check:
            imports.copy()
            for tree in TREES:
                shutil.rmtree(ROOT / tree, ignore_errors=True)
                shutil.copytree(fresh / tree, ROOT / tree)
            shutil.copyfile(fresh / TRANSCODED, ROOT / TRANSCODED)
            stale.clear()
        stale += imports.stale(COMPILER)
        # After the stubs are written: what is only not in good style still has stubs to go on with.
        for folder in (PROTOS, ENGINE):
            _run(SCRIPTS / "buf", "lint", folder)
        for line in stale:
            print(line, file=sys.stderr)
    return 1 if stale else 0


def generate(protos: Path, out: Path) -> None:
    """Write the stubs of every proto below a folder, and of its imports, with the pinned compiler."""
    generate_with(protos, out, compiler=COMPILER, imported=True)


def describe(protos: Path, out: Path, *others: str) -> None:
    """Write every proto below a folder, and all that they import, as one compiled set of descriptors.

    Any compiler of protos takes it: whoever has it needs neither our imports nor a registry of them.

    Args:
        protos: The folder.
        out: The file to write.
        others: Protos of other packages to add, by the paths that imports have.
    """
    options = (f"--descriptor_set_out={out}", "--include_imports", "--include_source_info")
    protoc(protos, *options, *files(protos), *others, compiler=COMPILER)


def _refer(fresh: Path) -> None:
    """Write Envoy's descriptors and the API reference below a folder."""
    for path in (TRANSCODED, OPENAPI):
        (fresh / path).parent.mkdir(parents=True)
    describe(PROTOS, fresh / TRANSCODED, *ERRORS)
    compiled = FileDescriptorSet.FromString((fresh / TRANSCODED).read_bytes())
    reference = document(
        Index.of(compiled),
        PACKAGE,
        title="Marketplace",
        version=PACKAGE.rpartition(".")[2],
        description=DESCRIPTION,
    )
    (fresh / OPENAPI).write_text(json.dumps(reference, indent=1, ensure_ascii=False) + "\n")
    (fresh / PAGE).write_text(page(reference))
    services = services_of(compiled, PACKAGE)
    (fresh / CLIENTS).write_text(clients(PACKAGE, services))
    for path, request_ids in CONFIGS.items():
        (fresh / path).write_text(service_config(services, request_ids=request_ids))
    for file in compiled.file:
        file.ClearField("source_code_info")
    (fresh / TRANSCODED).write_bytes(compiled.SerializeToString(deterministic=True))


def _differences(fresh: Path, committed: Path) -> Iterator[str]:
    """Yield the paths that are in one of two roots only, or differ in a byte."""
    found = {TRANSCODED}
    for root in (fresh, committed):
        for tree in TREES:
            found |= {path.relative_to(root) for path in (root / tree).rglob("*") if path.is_file()}
    for name in found:
        ours, twin = fresh / name, committed / name
        same = ours.is_file() and twin.is_file() and filecmp.cmp(ours, twin, shallow=False)
        if not same and "__pycache__" not in name.parts:
            yield str(name)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
