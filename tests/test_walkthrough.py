"""docs/walkthrough.md, made anew and compared."""

import asyncio
import sys
from pathlib import Path

from tests.postgres import free_port
from tests.process import HANGS
from tests.serving import serving, settings_for

DOCS = Path(__file__).resolve().parents[1] / "docs"


async def test_the_walkthrough_happens_as_it_is_documented(empty_url: str) -> None:
    """On a fresh database docs/walkthrough.py prints docs/walkthrough.md to the letter; on another it says so."""
    keys = str(DOCS / "walkthrough-keys.json")
    async with serving(settings_for(empty_url, policy="on", preshared_keys=keys)) as app:
        code, output, errors = await _walked(app.address)
        again, _, refusal = await _walked(app.address)
    assert (code, errors) == (0, "")
    assert output == (DOCS / "walkthrough.md").read_text()
    assert again == 1
    assert "the walk needs a fresh database" in refusal


async def test_without_a_server_it_says_so_in_one_line() -> None:
    """A walk to where nothing listens ends with one line, and exit code 1."""
    code, _, errors = await _walked(f"127.0.0.1:{free_port()}")
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert errors.startswith("UNAVAILABLE: ")


async def _walked(target: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DOCS / "walkthrough.py",
        f"--target={target}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(HANGS):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
