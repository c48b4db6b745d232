"""The image, made by the steps of the Dockerfile in a root of Debian's packages, and run as a container is.

It takes no engine of containers: Debian and its Python stand in for the base image, which has a Python of its own.
The steps are the Dockerfile's. `make test-image` runs it.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Build, Stage
from tests.deploy.manifest import ROOT
from tests.process import HANGS

DEBIAN, PYTHON = "bookworm", "3.11"
PROGRAMS = ("ip", "mmdebstrap", "nsenter", "setpriv", "unshare")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]

pytestmark = [
    pytest.mark.skipif("IMAGE" not in os.environ, reason="it takes minutes: make test-image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a root of another user"),
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}"),
]

CALL = """
import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc
with grpc.insecure_channel("127.0.0.1:50051") as channel:
    user = user_pb2.User(email="ann@example.com", username="ann_lee")
    print(user_pb2_grpc.UserServiceStub(channel).CreateUser(user_pb2.CreateUserRequest(user=user)).name)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The image."""
    folder = tmp_path_factory.mktemp("image")
    # Its users are others than ours, and must reach it.
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    debian, wheels = folder / "debian", folder / "wheels"
    # The user that apt otherwise becomes for its downloads would have to reach the folder too.
    options = (
        "--quiet",
        "--variant=minbase",
        "--include=python3,python3-venv",
        '--aptopt=APT::Sandbox::User "root"',
    )
    subprocess.run(["mmdebstrap", "--mode=root", *options, DEBIAN, debian], check=True)
    # As the base image has it: Python and pip in /usr/local.
    subprocess.run(["chroot", debian, "python3", "-m", "venv", "/usr/local"], check=True)
    locks = [f"-r{ROOT / 'requirements' / name}.lock" for name in ("image", "build")]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"),
            *("--only-binary=:all:", f"--python-version={PYTHON}", f"--dest={wheels}", *locks),
        ],
        check=True,
    )

    def base(image: str, root: Path) -> None:
        assert image.startswith("python:")
        subprocess.run(["cp", "--archive", debian, root], check=True)

    def run(stage: Stage, command: str) -> None:
        # Without a network: the packages come from the folder, and are those of the lock or none.
        environment = stage.environment | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt"}
        variables = (f"{name}={value}" for name, value in environment.items())
        inside = shlex.join(["env", "-i", *variables, "/bin/sh", "-c", f"cd {stage.folder} && {command}"])
        script = f"""
            set -e
            mount -t proc proc {stage.root}/proc
            mount --bind {wheels} {stage.root}/mnt
            exec chroot {stage.root} {inside}
        """
        subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-c", script], check=True)

    return Build(ROOT, base, run, folder).carry_out((ROOT / "Dockerfile").read_text())


@dataclass
class Container:
    """A container that runs.

    Attributes:
        image: Its image.
        process: What waits for its end.
        pid: Its first process, as it is numbered outside.
    """

    image: Stage
    process: "subprocess.Popen[str]"
    pid: int

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as its user."""
        entered = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--root")
        return subprocess.run(
            [*entered, *as_its_user(self.image), *command],
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )

    def status(self) -> dict[str, str]:
        """Return what the kernel says of its first process (proc_pid_status(5))."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def as_its_user(image: Stage) -> list[str]:
    """Return the beginning of a command: unprivileged, in the image's folder, with its environment alone."""
    user, group = image.user.split(":")
    return [
        *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        *("env", "-i", f"--chdir={image.folder}", *(f"{k}={v}" for k, v in image.environment.items())),
    ]


@contextmanager
def container(image: Stage) -> Iterator[Container]:
    """Run an image: processes, mounts and a network of its own, and /tmp and its volumes to write to."""
    user, group = image.user.split(":")
    tmpfs = f"mount -t tmpfs -o uid={user},gid={group},mode=700 tmpfs {image.root}"
    writable = "\n".join(f"{tmpfs}{folder}" for folder in (*image.volumes, "/tmp"))  # noqa: S108 - the image's own
    script = f"""
        set -e
        ip link set lo up
        mount --bind {image.root} {image.root}
        mount -o remount,bind,ro {image.root}
        mount -t proc proc {image.root}/proc
        {writable}
        exec chroot {image.root} {shlex.join([*as_its_user(image), *image.entrypoint, *image.arguments])}
    """
    unshare = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
    with subprocess.Popen([*unshare, "sh", "-c", script], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if '"serving"' in line:
                    break
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield Container(image, process, int(children[0]))
        finally:
            process.kill()


def test_nothing_that_builds_is_left(image: Stage) -> None:
    """The image has neither pip nor a compiler, and the packages of image.lock with the service on top."""
    path = [image.root / each.lstrip("/") for each in image.environment["PATH"].split(":")]
    found = {file.name for folder in path if folder.is_dir() for file in folder.iterdir()}
    assert "tablestakes" in found
    assert not {name for name in found if name.startswith(("pip", "gcc", "cc", "g++", "uv"))}
    for python in ("/usr/local/bin/python", "/opt/tablestakes/bin/python"):
        asked = subprocess.run(["chroot", image.root, python, "-m", "pip"], capture_output=True, check=False)
        assert b"No module named pip" in asked.stderr
    traces = ["chroot", str(image.root), "/opt/tablestakes/bin/python", "-c", "import opentelemetry.sdk.trace"]
    subprocess.run(traces, check=True)
    assert image.labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_it_serves_unprivileged_and_ends_when_told(image: Stage) -> None:
    """On a read-only root it migrates and serves as the first process, is healthy, and SIGTERM ends it with 0."""
    with container(image) as running:
        status = running.status()
        assert status["NSpid"].split()[-1] == "1"
        assert set(status["Uid"].split()) == {"65532"}
        assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1")
        assert "Read-only file system" in running.run("touch", "/opt/tablestakes/new").stderr
        healthy = running.run(*image.health)
        assert (healthy.returncode, healthy.stdout) == (0, "SERVING\n"), healthy.stderr
        called = running.run("python", "-c", CALL)
        assert (called.returncode, called.stdout) == (0, "users/1\n"), called.stderr
        os.kill(running.pid, signal.SIGTERM)
        _, errors = running.process.communicate(timeout=HANGS)
        assert running.process.returncode == 0
        events = [json.loads(line)["event"] for line in errors.splitlines()]
        assert events[-2:] == ["draining", "stopped"]
