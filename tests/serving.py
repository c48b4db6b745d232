"""Running the service of the tests in this process: the marketplace and the gadgets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tablestakes.app import App
from tablestakes.settings import Settings
from tablestakes.telemetry import Tracer
from tablestakes.testing import serving as testing
from tablestakes.testing.serving import create_database, eventually
from tests.service import SERVICE

__all__ = ["create_database", "eventually", "make_schema", "serving", "settings_for"]


def settings_for(url: str, **given: Any) -> Settings:
    """Return settings for a server on free ports."""
    return testing.settings_for(SERVICE, url, **given)


@asynccontextmanager
async def serving(settings: Settings, *, tracer: Tracer | None = None) -> AsyncIterator[App]:
    """Run a server in this process, its schema made first, and drain it at the end."""
    async with testing.serving(SERVICE, settings, tracer=tracer) as running:
        yield running


async def make_schema(settings: Settings) -> None:
    """Migrate a database, and add the tables of the gadgets, which no migration knows."""
    await testing.make_schema(SERVICE, settings)
