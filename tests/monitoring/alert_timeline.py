"""Real scrapes on a stretched clock: scrapes made within seconds are the minutes of a unit test of promtool."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tablestakes.app import App
from tests.monitoring.documented_queries import alerts, of_records
from tests.monitoring.prometheus import MONITORING, RULES, promtool
from tests.monitoring.query import OWN, parse, selectors
from tests.monitoring.scrape import scrape

TARGET = 'job="tablestakes",instance="recorded"'
_SERIES = re.compile(r"(?P<name>\w+)(?:{(?P<labels>.*)})? (?P<value>\S+)")
# The metrics that the rules ask for; the rest of a scrape would only make promtool slow.
ASKED = {
    selector.name or ""
    for expr in (*(rule["expr"] for rule in alerts()), *of_records().values())
    for selector in selectors(parse(expr))
} - OWN.keys()

_SERVICE = re.compile(r'grpc_service="(?P<service>[^"]*)"')

# How often a service measures the lag of its event loop in a minute.
MEASUREMENTS = 1200


class AlertTimeline:
    """Scrapes of one service, each a minute after the one before, and the alerts that must fire at each.

    The samples are the service's own, and the rules are the project's own with the times that they have. Only the
    clock between two scrapes is made up, and the event loop's lag, which is none: that of a busy machine would
    decide which alerts fire.

    Args:
        app: The service.
        watched: The alerts that are looked at.
    """

    def __init__(self, app: App, watched: set[str]) -> None:
        self._app = app
        self._watched = watched
        self._minutes: list[dict[str, str]] = []
        self._expected: dict[int, set[str]] = {}

    async def scrape(self, *firing: str) -> None:
        """Scrape now, a minute after the last time, and expect that of the watched alerts these fire, and no other.

        Args:
            firing: Names of alerts.
        """
        self._expected[len(self._minutes)] = set(firing)
        await self.scrape_unwatched()

    async def scrape_unwatched(self) -> None:
        """Scrape now, a minute after the last time, and expect nothing.

        For the minute at the left end of a window: Prometheus 2 counts it in, and Prometheus 3 does not.
        """
        minute = dict(_samples(await scrape(self._app)))
        minute[f"up{{{TARGET}}}"] = "1"
        for series in minute:
            if series.startswith("event_loop_lag_seconds_bucket"):
                minute[series] = str(MEASUREMENTS * len(self._minutes))
        self._minutes.append(minute)

    def verify(self, folder: Path) -> None:
        """Let promtool evaluate the rules minute by minute.

        Args:
            folder: Where the unit test is written.

        Raises:
            AssertionError: Another alert fired, or one did not; promtool's output is in the message.
        """
        test = {
            "rule_files": [str(path) for path in RULES],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": self._series(),
                    "promql_expr_test": [self._case(minute) for minute in self._expected],
                }
            ],
        }
        # JSON is YAML too, and is written a hundred times faster.
        path = folder / "recording.json"
        path.write_text(json.dumps(test))
        finished = promtool("test", "rules", path)
        assert finished.returncode == 0, f"{path}: {finished.stdout}{finished.stderr}"

    def _series(self) -> list[dict[str, str]]:
        values: dict[str, list[str]] = defaultdict(lambda: ["_"] * len(self._minutes))
        for number, minute in enumerate(self._minutes):
            for series, value in minute.items():
                values[series][number] = value
        # A service that nobody called has thousands of series, which make promtool slow. The methods that nobody
        # called of those that somebody did are there with all their zeros.
        called = {
            _service(series)
            for series, over_time in values.items()
            if any(value != "_" and float(value) for value in over_time)
        }
        assert called > {""}, "no call was counted"
        values = {series: each for series, each in values.items() if _service(series) in {"", *called}}
        return [{"series": series, "values": " ".join(over_time)} for series, over_time in values.items()]

    def _case(self, minute: int) -> dict[str, Any]:
        watched = "|".join(sorted(self._watched))
        return {
            "expr": f'group by (alertname) (ALERTS{{alertstate="firing", alertname=~"{watched}"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(self._expected[minute])
            ],
        }


def _samples(exposition: str) -> Iterator[tuple[str, str]]:
    """Yield the series that the rules ask for, with the labels that Prometheus adds, and their values.

    A line is copied and not parsed: promtool writes series as the exposition does, and a scrape has thousands.
    """
    for line in exposition.splitlines():
        found = _SERIES.fullmatch(line)
        if found is not None and found["name"] in ASKED:
            yield f"{found['name']}{{{','.join(filter(None, (found['labels'], TARGET)))}}}", found["value"]


def _service(series: str) -> str:
    """Return the gRPC service that a series is of, or "" if it is of none."""
    found = _SERVICE.search(series)
    return found["service"] if found else ""


def alerts_of(file: str) -> set[str]:
    """Return the names of the alerts in one file of rules."""
    groups = yaml.safe_load((MONITORING / "rules" / file).read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
