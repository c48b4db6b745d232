"""`tablestakes policy`: who may call each method, and why a call ends as it does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tablestakes.testing.issuer import Issuer
from tablestakes.testing.serving import make_schema, settings_for
from tests.policy.world import make


@pytest.fixture(scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an embedded database with some rows."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('command')}/market.db"
    settings = settings_for(SERVICE, url)
    await make_schema(SERVICE, settings)
    opened = open_database(settings)
    world = make(11, rows=40)
    world.posts[0].update(author_id=1, state="DRAFT", delete_time=None, expire_time=None)
    world.posts[1].update(author_id=1, state="PUBLISHED", delete_time=None, expire_time=None)
    await opened.transact(world.fill)
    await opened.close()
    return url


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command, and return its exit code and what it printed."""
    code = SERVICE.main(["policy", *arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_table_has_every_method_and_role(capsys: pytest.CaptureFixture[str]) -> None:
    """The table says of each method who may call it, and which rows each role may read or write."""
    code, printed = run(capsys)
    assert code == 0
    lines = printed.splitlines()
    assert len([line for line in lines if line.startswith("/")]) == 82
    at = next(
        index for index, line in enumerate(lines) if line.startswith("/marketplace.v1.PostService/UpdatePost ")
    )
    assert "everybody who is known" in lines[at]
    assert lines[at].endswith("none")
    assert lines[at + 1].split() == ["authenticated", "author", "=", "$caller.user"]
    assert lines[at + 2].split() == ["admin", "every", "row"]


@pytest.mark.parametrize(
    ("method", "name", "claims", "answer"),
    [
        ("GetPost", "posts/1", None, "NOT_FOUND: no policy"),
        ("GetPost", "posts/2", None, "OK"),
        ("UpdatePost", "posts/2", None, "UNAUTHENTICATED"),
        ("UpdatePost", "posts/2", {"user": "users/2"}, "PERMISSION_DENIED: policies let the caller see"),
        ("UpdatePost", "posts/1", {"user": "users/1"}, "OK"),
        ("PurgePosts", "posts/1", {"user": "users/1"}, "PERMISSION_DENIED"),
        ("GetPost", "posts/99", {"user": "users/1"}, "NOT_FOUND: there is no such"),
        ("GetWallet", "users/1/wallet", {"user": "users/1"}, "OK"),
        ("GetWallet", "users/1/wallet", {"user": "users/2"}, "NOT_FOUND: no policy"),
    ],
)
async def test_a_call_is_explained(
    capsys: pytest.CaptureFixture[str],
    database: str,
    tmp_path: Path,
    method: str,
    name: str,
    claims: dict[str, Any] | None,
    answer: str,
) -> None:
    """The explanation ends with the code that the call would have, and says which policy decides."""
    issuer = Issuer(tmp_path)
    given = [f"--{key.replace('_', '-')}={value}" for key, value in issuer.settings.items()]
    if claims is not None:
        given.append(f"--as={issuer.token('somebody', **claims)}")
    code, printed = await _in_thread(capsys, "explain", method, name, f"--database-url={database}", *given)
    assert code == 0, printed
    assert printed.splitlines()[-1].startswith(f"answer  {answer}")


async def _in_thread(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    # A command has an event loop of its own.
    return await asyncio.to_thread(run, capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "GetPots", "posts/1"), "did you mean GetPost"),
        (("explain", "GetPost", "users/1"), "must be of the form posts/{post}"),
        (("explain", "GetPost"), "say what to explain"),
        (("explain", "GetPost", "posts/1", "--as=abc"), "--as"),
    ],
)
def test_what_cannot_be_explained_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """A wrong method, name or caller is one line, and exit code 1."""
    code, printed = run(capsys, *arguments)
    assert code == 1
    assert said in printed
