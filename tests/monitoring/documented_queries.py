"""Every query that is documented: in the dashboard, the rules and the documents."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.prometheus import MONITORING, RULES

DOCUMENTS = MONITORING.parents[1] / "docs"
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_VARIABLE = re.compile(r"label_values\((?P<series>.*), (?P<label>\w+)\)")


@dataclass(frozen=True)
class DocumentedQuery:
    """A query, and where it is documented.

    Attributes:
        where: Its file, and its place in it.
        expr: The query.
        needs: Labels that its answer must have, because a legend or a text names them.
    """

    where: str
    expr: str
    needs: frozenset[str] = frozenset()


def dashboard() -> dict[str, Any]:
    """Return the dashboard as it is committed."""
    found: dict[str, Any] = json.loads((MONITORING / "dashboards" / "tablestakes.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def of_panels() -> Iterator[DocumentedQuery]:
    """Yield the query of every panel."""
    for panel in panels():
        for target in panel["targets"]:
            needs = frozenset(_LEGEND.findall(target["legendFormat"]))
            yield DocumentedQuery(f"{panel['title']} {target['refId']}", target["expr"], needs)


def of_variables() -> Iterator[DocumentedQuery]:
    """Yield the series that every variable of the dashboard lists, and the label that it lists of them."""
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found = _VARIABLE.fullmatch(variable["query"])
            assert found is not None, variable["query"]
            yield DocumentedQuery(f"${variable['name']}", found["series"], frozenset({found["label"]}))


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Return the rules that are alerts."""
    return [rule for rule in rules() if "alert" in rule]


def of_alerts() -> Iterator[DocumentedQuery]:
    """Yield the query of every alert, and the labels that its texts name."""
    for rule in alerts():
        needs = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
        yield DocumentedQuery(rule["alert"], rule["expr"], frozenset(needs))


def of_records() -> dict[str, str]:
    """Return the expressions of the recording rules, by the name of the recorded series."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def of_documents() -> Iterator[DocumentedQuery]:
    """Yield every query of the documents: the indented ones of metrics.md, and the fenced ones of runbooks.md."""
    metrics = (DOCUMENTS / "metrics.md").read_text().partition("## Questions")[2]
    for block in re.findall(r"(?:^    .*\n?)+", metrics, re.MULTILINE):
        yield DocumentedQuery("docs/metrics.md", block)
    yield from (DocumentedQuery("docs/runbooks.md", block) for block in fences(DOCUMENTS / "runbooks.md"))


def fences(document: Path) -> list[str]:
    """Return the blocks of PromQL in a document, each a query."""
    return re.findall(r"^```promql\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
