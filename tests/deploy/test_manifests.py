"""The manifests, the Dockerfile and the compose file fit together, and fit the service."""

import re
from typing import Any

import pytest
import yaml

from tablestakes.settings import Settings
from tests.deploy.manifest import K8S, ROOT, needs_kubectl, resources

OVERLAYS = ("overlays/dev", "overlays/production")
DOCKERFILE = (ROOT / "Dockerfile").read_text()

pytestmark = needs_kubectl


@pytest.fixture(scope="module", params=OVERLAYS)
def made(request: pytest.FixtureRequest) -> dict[tuple[str, str], Any]:
    """The resources of an overlay, by kind and name."""
    return resources(request.param)


def workloads(made: dict[tuple[str, str], Any]) -> list[Any]:
    """Return the templates of all pods."""
    return [each["spec"]["template"] for (kind, _), each in made.items() if kind in ("Deployment", "Job")]


def selected(labels: dict[str, str], selector: dict[str, str]) -> bool:
    """Return whether a selector selects what has these labels."""
    return selector.items() <= labels.items()


def test_every_pod_is_of_the_restricted_standard(made: dict[tuple[str, str], Any]) -> None:
    """Each container is unprivileged on a read-only root, as the namespace enforces and more, and has no token."""
    (namespace,) = (each for (kind, _), each in made.items() if kind == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for template in workloads(made):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_only_pods_that_serve_are_endpoints(made: dict[tuple[str, str], Any]) -> None:
    """The headless Service and the disruption budget select the Deployment's pods, and not the Job's."""
    serve = made["Deployment", "tablestakes"]["spec"]["template"]["metadata"]["labels"]
    migrate = made["Job", "tablestakes-migrate"]["spec"]["template"]["metadata"]["labels"]
    service = made["Service", "tablestakes"]
    assert service["spec"]["clusterIP"] == "None"
    budget = made["PodDisruptionBudget", "tablestakes"]["spec"]["selector"]["matchLabels"]
    for selector in (service["spec"]["selector"], budget):
        assert selected(serve, selector)
        assert not selected(migrate, selector)
    policy = made["NetworkPolicy", "tablestakes"]["spec"]["podSelector"]["matchLabels"]
    assert selected(serve, policy)
    assert selected(migrate, policy)


def test_the_environment_is_settings_that_exist(made: dict[tuple[str, str], Any]) -> None:
    """Each variable of a container is a setting, its value loads, and its ports are those that are listened on."""
    by_variable = {Settings.variable(name): name for name in Settings.model_fields}
    for kind, name in (("Deployment", "tablestakes"), ("Job", "tablestakes-migrate")):
        (container,) = made[kind, name]["spec"]["template"]["spec"]["containers"]
        data: dict[str, str] = {}
        for source in container["envFrom"]:
            data |= made["ConfigMap", source["configMapRef"]["name"]]["data"]
        assert {each["name"] for each in container["env"]} <= by_variable.keys()
        loaded = Settings.load(**{by_variable[variable]: value for variable, value in data.items()})
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        if ports:
            assert loaded.listen.endswith(f":{ports['grpc']}")
            assert loaded.metrics_listen.endswith(f":{ports['metrics']}")
            probes = ("startupProbe", "livenessProbe", "readinessProbe")
            assert {container[probe]["grpc"]["port"] for probe in probes} == {ports["grpc"]}


def test_the_scraped_job_is_the_one_of_the_rules() -> None:
    """The monitor finds the Service, and its job has the name that the rules and the dashboard ask for."""
    made = resources("overlays/production")
    monitor, service = made["ServiceMonitor", "tablestakes"]["spec"], made["Service", "tablestakes"]
    labels = service["metadata"]["labels"]
    assert selected(labels, monitor["selector"]["matchLabels"])
    assert labels[monitor["jobLabel"]] == "tablestakes"
    assert {each["port"] for each in monitor["endpoints"]} <= {each["name"] for each in service["spec"]["ports"]}
    assert ("PrometheusRule", "tablestakes") in made
    assert ("ConfigMap", "tablestakes-dashboard") in made


def test_the_secrets_are_references(made: dict[tuple[str, str], Any]) -> None:
    """The base has no Secret, and names those that it wants; the one of development has them."""
    asked = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for template in workloads(made)
        for container in template["spec"]["containers"]
        for variable in container.get("env", ())
        if "valueFrom" in variable
    }
    secrets = {name for kind, name in made if kind == "Secret"}
    if secrets:
        assert asked == secrets
    else:
        assert asked == {"tablestakes-database", "tablestakes-page-tokens"}
        told = (K8S / "base" / "kustomization.yaml").read_text()
        assert all(name in told for name in asked)


def test_the_image_copies_files_that_exist() -> None:
    """Each path that the Dockerfile copies is in the repository, and not ignored; compose builds from it."""
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    ]
    assert "requirements/image.lock" in copied
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path.split("/")[0] in kept, path
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert services["tablestakes"]["build"] == services["migrate"]["build"] == "."


def test_the_base_image_is_a_full_version() -> None:
    """The base is pinned to a full version, can be given with a digest, and the same for every stage."""
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert {line.split()[0] for line in re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE)} == {"${BASE}"}
