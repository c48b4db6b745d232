"""The error that the README shows, as its own client prints it."""

import asyncio
import re
import sys
from pathlib import Path

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from tests.process import HANGS
from tests.serving import serving, settings_for

README = Path(__file__).resolve().parents[1] / "README.md"


async def test_the_readme_prints_an_error_as_it_is(empty_url: str) -> None:
    """The Python that the README gives for errors prints, on each database, the text below it."""
    section = README.read_text().partition("Every error of a resource's methods")[2]
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", section, re.DOTALL)
    assert found
    async with serving(settings_for(empty_url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        ann = user_pb2.User(email="Ann@Example.com", username="ann", full_name="Ann Lee")
        await user_pb2_grpc.UserServiceStub(channel).CreateUser(user_pb2.CreateUserRequest(user=ann))
        program = found[1].replace("127.0.0.1:50051", app.address)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), HANGS)
    assert output.decode().strip() == found[2].strip()
