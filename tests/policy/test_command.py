"""`tablestakes policy`: who may call each method, and why a call ends as it does."""

from pathlib import Path
from typing import Any

import pytest

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tablestakes.testing.issuer import Issuer
from tablestakes.testing.serving import make_schema, settings_for
from tests.policy.world import make
from tests.process import run_each

# The claims of a caller, the call, and how its explanation ends.
EXPLAINED: tuple[tuple[dict[str, Any] | None, str, str, str], ...] = (
    (None, "GetPost", "posts/1", "NOT_FOUND: no policy"),
    (None, "GetPost", "posts/2", "OK"),
    (None, "UpdatePost", "posts/2", "UNAUTHENTICATED"),
    ({"user": "users/2"}, "UpdatePost", "posts/2", "PERMISSION_DENIED: policies let the caller see"),
    ({"user": "users/1"}, "UpdatePost", "posts/1", "OK"),
    ({"user": "users/1"}, "PurgePosts", "posts/1", "PERMISSION_DENIED"),
    ({"user": "users/1"}, "GetPost", "posts/99", "NOT_FOUND: there is no such"),
    ({"user": "users/1"}, "GetWallet", "users/1/wallet", "OK"),
    ({"user": "users/2"}, "GetWallet", "users/1/wallet", "NOT_FOUND: no policy"),
)
WRONG = (
    (("explain", "GetPots", "posts/1"), "did you mean GetPost"),
    (("explain", "GetPost", "users/1"), "must be of the form posts/{post}"),
    (("explain", "GetPost"), "say what to explain"),
    (("explain", "GetPost", "posts/1", "--as=abc"), "--as"),
)


@pytest.fixture
async def database(tmp_path: Path) -> str:
    """The URL of an embedded database with some rows."""
    url = f"sqlite+aiosqlite:///{tmp_path}/market.db"
    settings = settings_for(SERVICE, url)
    await make_schema(SERVICE, settings)
    opened = open_database(settings)
    world = make(11, rows=40)
    world.posts[0].update(author_id=1, state="DRAFT", delete_time=None, expire_time=None)
    world.posts[1].update(author_id=1, state="PUBLISHED", delete_time=None, expire_time=None)
    await opened.transact(world.fill)
    await opened.close()
    return url


async def test_calls_are_explained(database: str, tmp_path: Path) -> None:
    """The explanation ends with the code that the call would have; what cannot be explained is one line."""
    issuer = Issuer(tmp_path)
    given = [f"--{key.replace('_', '-')}={value}" for key, value in issuer.settings.items()]
    commands = [
        ["policy", "explain", method, name, *given]
        + ([] if claims is None else [f"--as={issuer.token('somebody', **claims)}"])
        for claims, method, name, _ in EXPLAINED
    ]
    found = await run_each(*commands, *(["policy", *words] for words, _ in WRONG), DATABASE_URL=database)
    for (code, output, errors), (_, *_, answer) in zip(found, EXPLAINED, strict=False):
        assert (code, errors) == (0, "")
        assert output.splitlines()[-1].startswith(f"answer  {answer}")
    for (code, output, errors), (_, said) in zip(found[len(EXPLAINED) :], WRONG, strict=True):
        assert (code, output) == (1, "")
        assert said in errors
        assert len(errors.splitlines()) == 1


async def test_the_table_has_every_method_and_role() -> None:
    """The table says of each method who may call it, and which rows each role may read or write."""
    ((code, output, errors),) = await run_each(["policy"])
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert len([line for line in lines if line.startswith("/")]) == 82
    update = "/marketplace.v1.PostService/UpdatePost "
    at = next(index for index, line in enumerate(lines) if line.startswith(update))
    assert "everybody who is known" in lines[at]
    assert lines[at].endswith("none")
    assert lines[at + 1].split() == ["authenticated", "author", "=", "$caller.user"]
    assert lines[at + 2].split() == ["admin", "every", "row"]
