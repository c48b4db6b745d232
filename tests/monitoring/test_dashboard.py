"""The dashboard: Grafana can read it, and so can whoever looks at it."""

import itertools
import re
from typing import Any

import pytest

from tests.monitoring.documented_queries import dashboard, of_panels, of_records, panels


@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_grafanas_own_types_read_it() -> None:
    """The committed file is a dashboard to Grafana's library, with every panel and variable."""
    # Here and not above, where its warning would be an error already.
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    read = Dashboard.from_json(dashboard())
    assert read.uid == "tablestakes"
    assert len(read.panels or ()) == len(dashboard()["panels"])
    variables = read.templating.list_val or []
    assert {variable.name: variable.all_value for variable in variables} == {
        "datasource": None,
        "namespace": ".*",
        "job": ".+",
        "instance": ".+",
        "method": ".+",
    }


def test_every_panel_says_what_it_shows() -> None:
    """Each panel has a title, a description, a unit, and the data source that is chosen above."""
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_every_query_is_narrowed_down_and_has_its_time_from_grafana() -> None:
    """Each selector has the job and the instance that are chosen, and no window is written in numbers."""
    for query in of_panels():
        selectors = re.findall(r"([\w:]+)\{([^}]*)\}", query.expr)
        assert selectors, query.where
        for metric, matchers in selectors:
            assert 'job=~"$job"' in matchers, query.where
            assert metric in of_records() or 'instance=~"$instance"' in matchers, query.where
        for window in re.findall(r"\[(.*?)\]", query.expr):
            assert window in ("$__rate_interval", "$__range"), query.where


def test_the_first_row_is_the_four_targets() -> None:
    """Above all else stand the four targets, as figures that are red where they are missed."""
    row, *figures = dashboard()["panels"][:5]
    assert (row["type"], row["title"]) == ("row", "The four targets")
    limits = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1] for panel in figures}
    assert {panel["type"] for panel in figures} == {"stat"}
    assert {title: (step["color"], step["value"]) for title, step in limits.items()} == {
        "Query p99": ("red", 0.1),
        "Fullest pool": ("red", 1),
        "Slow queries": ("red", 0.5),
        "Connection errors": ("red", 0.5),
    }


def test_no_panel_lies_on_another() -> None:
    """Panels have ids of their own, and places of their own on the grid of 24 columns."""
    laid = dashboard()["panels"]
    assert len({panel["id"] for panel in laid}) == len(laid)
    for panel in laid:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in itertools.combinations(laid, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), f"{one['title']}, {other['title']}"


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return bool(across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"])
