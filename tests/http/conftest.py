"""Envoy with the deployed configuration, in front of a service of its own."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from k8s.envoy import local
from marketplace_service import SERVICE
from tablestakes.testing.serving import serving, settings_for
from tests.http.door import Door


@pytest.fixture(scope="session", autouse=True)
def envoy() -> Path:
    """Envoy's program, or the reason why nothing here can run; where CI runs it must be there."""
    found = local.program()
    if found is None:
        assert "CI" not in os.environ, local.MISSING
        pytest.skip(local.MISSING)
    return found


@pytest.fixture(scope="session")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """The doors of a marketplace on SQLite."""
    folder = tmp_path_factory.mktemp("door")
    settings = settings_for(SERVICE, f"sqlite+aiosqlite:///{folder}/door.db")
    async with serving(SERVICE, settings) as app:
        config = local.configuration(listen="127.0.0.1:0", upstreams=[app.address])
        async with local.running(config, log=folder / "envoy.log") as running:
            yield Door(running.address, running.admin, app.address)
