"""The stubs by themselves, as a caller of the service installs them."""

import asyncio
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tablestakes.app import App
from tests.process import HANGS

ROOT = Path(__file__).resolve().parents[1]
# The oldest versions on which the stubs load, as generated/pyproject.toml has them.
FLOORS = ("protobuf==6.31.1", "grpcio==1.76.0", "googleapis-common-protos==1.70.0")
CALLER = """
import sys

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    users = user_pb2_grpc.UserServiceStub(channel)
    name = "caller_" + sys.argv[2]
    user = user_pb2.User(email=name + "@example.com", username=name)
    user = users.CreateUser(user_pb2.CreateUserRequest(user=user))
    assert users.GetUser(user_pb2.GetUserRequest(name=user.name)) == user
    listed = users.ListUsers(user_pb2.ListUsersRequest(filter=f"username = {name}")).users
    assert [each.name for each in listed] == [user.name]
    user.full_name = "A Caller"
    request = user_pb2.UpdateUserRequest(user=user, update_mask={"paths": ["full_name"]})
    assert users.UpdateUser(request).full_name == "A Caller"
    deleted = users.DeleteUser(user_pb2.DeleteUserRequest(name=user.name))
    assert deleted.HasField("delete_time")
    try:
        users.DeleteUser(user_pb2.DeleteUserRequest(name=user.name))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND
        print("called", user.name)
"""


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the stubs, and the oldest of what they need, and nothing else."""
    folder = tmp_path_factory.mktemp("caller")
    venv.create(folder / "venv")
    program = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", program, "--quiet", "--disable-pip-version-check")
    subprocess.run((*pip, "install", ROOT / "generated", *FLOORS), check=True, timeout=5 * HANGS)
    return program


async def test_a_caller_needs_nothing_but_the_stubs(python: Path, app: App) -> None:
    """With `pip install ./generated` alone, on the oldest versions it allows, a script calls every method."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-c", CALLER, app.address, app.database.engine.dialect.name),
        stdout=asyncio.subprocess.PIPE,
        cwd=python.parent,
    )
    output, _ = await asyncio.wait_for(process.communicate(), HANGS)
    assert process.returncode == 0
    assert output.startswith(b"called users/")


def test_the_stubs_bring_nothing_else(python: Path) -> None:
    """The stubs install protobuf, grpcio, googleapis-common-protos and their own needs, and nothing else."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "list", "--format=freeze", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    installed = {line.partition("==")[0].lower() for line in listing.stdout.splitlines()}
    assert installed == {
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
        "tablestakes-stubs",
        "typing_extensions",
    }


def test_the_stubs_are_typed(python: Path) -> None:
    """A type checker finds the types of messages and stubs in the installed package."""
    found = subprocess.run(
        [python, "-c", "import marketplace.v1 as m; print(list(m.__path__)[0])"],
        check=True,
        capture_output=True,
        text=True,
    )
    folder = Path(found.stdout.strip())
    assert {"py.typed", "user_pb2.pyi", "user_pb2_grpc.pyi"} <= {path.name for path in folder.iterdir()}
