"""The manifests as a cluster gets them: a Deployment, and the environment of its container."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH")


def resources(folder: str) -> dict[tuple[str, str], Any]:
    """Return what kustomize makes of a folder of k8s/, by kind and name."""
    made = subprocess.run(
        ["kubectl", "kustomize", K8S / folder], capture_output=True, text=True, check=True, timeout=60
    )
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(made.stdout)}


@dataclass(frozen=True)
class Pod:
    """The pod of a Deployment, as a kubelet reads it.

    Attributes:
        arguments: The arguments of its container.
        environment: The environment of its container.
        startup: Its startup probe.
        readiness: Its readiness probe.
        pre_stop: Seconds between the end of its endpoint and SIGTERM.
        grace: Seconds from the beginning of its end, preStop included, until it is killed.
    """

    arguments: list[str]
    environment: dict[str, str]
    startup: dict[str, Any]
    readiness: dict[str, Any]
    pre_stop: float
    grace: float

    @staticmethod
    def of(made: dict[tuple[str, str], Any], secrets: dict[str, dict[str, str]]) -> "Pod":
        """Read the pod of the Deployment `tablestakes`.

        Args:
            made: The resources.
            secrets: The Secrets that the cluster has, by name and key.
        """
        spec = made["Deployment", "tablestakes"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        environment: dict[str, str] = {}
        for source in container["envFrom"]:
            environment |= made["ConfigMap", source["configMapRef"]["name"]]["data"]
        for variable in container["env"]:
            key = variable["valueFrom"]["secretKeyRef"]
            environment[variable["name"]] = secrets[key["name"]][key["key"]]
        return Pod(
            arguments=container["args"],
            environment=environment,
            startup=container["startupProbe"],
            readiness=container["readinessProbe"],
            pre_stop=container["lifecycle"]["preStop"]["sleep"]["seconds"],
            grace=spec["terminationGracePeriodSeconds"],
        )
