"""The panels of the dashboard, asked of a real Prometheus beside a service under load."""

import re
import time
from pathlib import Path

import pytest

from tablestakes.app import App
from tests.monitoring.documented_queries import of_documents, of_panels, of_records, of_variables
from tests.monitoring.incidents import cause_incidents
from tests.monitoring.prometheus import prometheus


async def test_every_panel_of_the_dashboard_shows_something(
    busy: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each query of the dashboard, its variables at `All`, is answered with a number; no query is refused."""
    # A scrape each second is more than a tenth of a busy core, and would be late.
    monkeypatch.setattr("tablestakes.telemetry.show.turns.SHARE", 1.0)
    async with prometheus(tmp_path, {"tablestakes": busy.metrics_address}) as server:
        await server.answers('up{job="tablestakes"} == 1')
        await cause_incidents(busy, seed=2)
        # A rate needs two scrapes of the last series, and a recording rule needs one evaluation after those.
        await server.answers(f'count_over_time(up{{job="tablestakes"}}[3s] @ {time.time() + 3}) >= 2')
        await server.answers(" and on (job) ".join(of_records()))
        empty = []
        for query in (*of_panels(), *of_variables()):
            asked = _as_sent(query.expr)
            answer = await server.ask(asked)
            if all(series["value"][1] == "NaN" for series in answer):
                empty.append(f"{query.where}: {asked}: {answer}")
        for query in of_documents():
            await server.ask(query.expr)
    assert not empty, "\n".join(empty)


def _as_sent(query: str) -> str:
    """Return a query as Grafana sends it where every variable is at `All`, for a few seconds of time."""
    query = query.replace("$__rate_interval", "10s").replace("$__range", "10s")
    return re.sub(r"\$\w+", ".+", query.replace("$namespace", ".*"))
