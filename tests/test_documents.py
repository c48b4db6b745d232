"""What the documents say that the code can be asked about."""

from pathlib import Path

from tablestakes import settings
from marketplace_service.api import RESOURCES
from tablestakes.crud import PageTokens, bind

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_settings_is_the_settings() -> None:
    """docs/settings.md holds the table that the settings class gives."""
    assert settings.markdown() in (ROOT / "docs" / "settings.md").read_text()


def test_the_routes_of_the_readme_are_the_routes() -> None:
    """Every RPC that the README shows is served."""
    readme = (ROOT / "README.md").read_text()
    shown = {line.split()[0] for line in readme.splitlines() if line.startswith("/marketplace.v1.")}
    assert shown
    assert shown <= {rpc.path for rpc in bind(RESOURCES, PageTokens(b""))}


def test_every_room_of_the_house_is_on_the_map() -> None:
    """The README's map names each folder and module of the top of server/."""
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "server").iterdir():
        if not path.name.startswith("__") or path.name == "__main__.py":
            assert path.stem in readme, path
