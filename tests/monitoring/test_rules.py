"""The rules: promtool checks them, and an operator finds a runbook for each alert."""

import re
from typing import Any

import pytest
import yaml

from tests.monitoring.documented_queries import DOCUMENTS, alerts, fences
from tests.monitoring.prometheus import MONITORING, RULES, promtool

TESTS = tuple(sorted((MONITORING / "tests").glob("*.yaml")))
RUNBOOKS = DOCUMENTS / "runbooks.md"


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", *RULES), ("test", "rules", *TESTS), ("check", "config", MONITORING / "prometheus.yaml")],
    ids=["check rules", "test rules", "check config"],
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    """The rules are well formed, their unit tests pass, and the configuration that names them is one."""
    finished = promtool(*arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def _cases() -> list[tuple[str, list[dict[str, Any]]]]:
    """Return every moment at which a unit test looks at an alert, and the alerts that it expects to fire then."""
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    return [
        (case["alertname"], case.get("exp_alerts", []))
        for test in tests
        for case in test.get("alert_rule_test", ())
    ]


@pytest.mark.parametrize("alert", sorted({rule["alert"] for rule in alerts()}))
def test_every_alert_has_unit_tests(alert: str) -> None:
    """A unit test makes each alert fire, in each of its windows, and another one finds it silent."""
    cases = [expected for name, expected in _cases() if name == alert]
    assert any(not expected for expected in cases), "none finds it silent"
    fired = {one["exp_labels"].get("window") for expected in cases for one in expected}
    assert fired == {rule["labels"].get("window") for rule in alerts() if rule["alert"] == alert}


def test_every_alert_has_texts_and_a_runbook() -> None:
    """Each alert has a severity, a summary, a description, and a section of its own among the runbooks."""
    sections = _sections()
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["alert"] in sections
    assert set(sections) == {rule["alert"] for rule in alerts()}, "a runbook is of no alert"


def test_every_runbook_has_its_three_parts() -> None:
    """Each section has these three parts, and queries to look with."""
    for alert, section in _sections().items():
        for part in ("**Meaning.**", "**Diagnosis.**", "**Action.**"):
            assert part in section, f"{alert}: {part}"
        assert "```promql" in section, alert
    assert len(fences(RUNBOOKS)) > len(_sections())


def _sections() -> dict[str, str]:
    """Return the sections of the runbooks that are of an alert, by its name."""
    parts = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    named = {part.partition("\n")[0]: part for part in parts}
    return {title: part for title, part in named.items() if title.startswith("Tablestakes")}


def test_the_resource_of_kubernetes_has_the_same_groups() -> None:
    """The PrometheusRule holds the groups of the files of rules, and nothing else."""
    resource = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    assert resource["spec"] == {"groups": groups}
    assert resource["kind"] == "PrometheusRule"
