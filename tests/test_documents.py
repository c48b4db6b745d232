"""The documents: the statements in them that the code can be asked about."""

import re
from pathlib import Path

from docs.filtering import DOCUMENT, fresh
from marketplace_service import SERVICE
from tablestakes.crud.query.token import PageTokens
from tablestakes.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_settings_is_the_settings() -> None:
    """docs/settings.md holds the table that the settings class gives."""
    assert Settings.markdown() in (ROOT / "docs" / "settings.md").read_text()


def test_the_table_of_filters_is_what_filters_become() -> None:
    """docs/filtering.md has the SQL of each operator that the engine makes."""
    document = DOCUMENT.read_text()
    assert fresh(document) == document


def test_the_routes_of_the_readme_are_the_routes() -> None:
    """Every RPC that the README shows is served."""
    readme = (ROOT / "README.md").read_text()
    shown = {line.split()[0] for line in readme.splitlines() if line.startswith("/marketplace.v1.")}
    assert shown
    assert shown <= {method.path for method in SERVICE.bind(PageTokens(b""))}


def test_the_map_has_every_room_of_the_house() -> None:
    """The README's map names each package of server/ and each package and module of the engine, and no other."""
    table = (ROOT / "README.md").read_text().partition("| Room of `server/` |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name.removeprefix("tablestakes.") for cell in cells for name in re.findall(r"`(.+?)`", cell)}
    server = ROOT / "server"
    there = {
        path.stem
        for path in (*server.iterdir(), *(server / "tablestakes").iterdir())
        if path.suffix in ("", ".py") and not path.name.startswith(("_", "."))
    }
    assert named == there
