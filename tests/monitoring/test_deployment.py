"""The deployment of the monitoring: the compose file, the files that it mounts, and the kustomization."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tablestakes.settings import Settings
from tests.monitoring.prometheus import MONITORING, RULES

ROOT = MONITORING.parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def _mounts(service: str) -> dict[str, str]:
    """Return the repository's files that are mounted into a service, by their paths there."""
    split = (mount.split(":") for mount in SERVICES[service].get("volumes", ()))
    return {inside: outside for outside, inside, *_ in split if outside.startswith("./")}


def test_every_mount_of_compose_exists() -> None:
    """Each path that compose mounts is in the repository, and each of its volumes is declared."""
    for name, service in SERVICES.items():
        for outside in _mounts(name).values():
            assert (ROOT / outside).exists(), f"{name}: {outside}"
        for mount in service.get("volumes", ()):
            assert mount.startswith("./") or mount.split(":")[0] in COMPOSE["volumes"], f"{name}: {mount}"


def test_compose_publishes_on_loopback_only() -> None:
    """Nothing that compose runs can be reached from another machine."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_migrates_before_it_serves() -> None:
    """The service starts when the migration has succeeded, which starts when PostgreSQL is healthy."""
    assert SERVICES["tablestakes"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgresql": {"condition": "service_healthy"}}
    assert "healthcheck" in SERVICES["postgresql"]


def test_compose_sets_settings_that_exist() -> None:
    """Each environment variable of the service is a setting, and together they are good ones."""
    given = SERVICES["tablestakes"]["environment"]
    by_variable = {Settings.variable(name): name for name in Settings.model_fields}
    loaded = Settings.load(**{by_variable[variable]: value for variable, value in given.items()})
    assert loaded.url.host in SERVICES


def test_prometheus_finds_the_service_and_the_rules() -> None:
    """The target is the service's name and port in compose, and the rules are where the configuration looks."""
    configuration = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    (job,) = configuration["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert job["job_name"] == "tablestakes"
    assert any(published.endswith(f":{port}") for published in SERVICES[host]["ports"])
    assert set(MONITORING.glob(*configuration["rule_files"])) == set(RULES)
    mounts = _mounts("prometheus")
    assert mounts["/etc/prometheus/prometheus.yml"] == "./k8s/monitoring/prometheus.yaml"
    assert mounts["/etc/prometheus/rules"] == "./k8s/monitoring/rules"


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """The data source is the service's name in compose, and the dashboard is where the provider looks."""
    (source,) = yaml.safe_load((MONITORING / "grafana" / "datasource.yaml").read_text())["datasources"]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr] # it matches
    assert any(published.endswith(f":{port}") for published in SERVICES[host]["ports"])
    (provider,) = yaml.safe_load((MONITORING / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert _mounts("grafana")[provider["options"]["path"]] == "./k8s/monitoring/dashboards"
    scraped = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_the_kustomization_names_files_that_exist() -> None:
    """Each file that the kustomization names is there, and the dashboard has the label of Grafana's sidecar."""
    kustomization = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    for path in (*kustomization["resources"], *generator["files"]):
        assert (MONITORING / path).is_file(), path
    assert generator["options"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH")
def test_kubectl_makes_the_dashboard_and_the_rules() -> None:
    """`kubectl kustomize` gives a ConfigMap with the dashboard as it is committed, and a PrometheusRule."""
    finished = subprocess.run(
        ["kubectl", "kustomize", MONITORING], capture_output=True, text=True, check=True, timeout=60
    )
    made = {resource["kind"]: resource for resource in yaml.safe_load_all(finished.stdout)}
    assert set(made) == {"ConfigMap", "PrometheusRule"}
    committed = json.loads((MONITORING / "dashboards" / "tablestakes.json").read_text())
    assert json.loads(made["ConfigMap"]["data"]["tablestakes.json"]) == committed
