"""Every method through both doors: JSON by the annotations of the protos, and gRPC-Web by a published client."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from jsonschema import Draft202012Validator

from k8s.envoy.local import DESCRIPTORS
from tests.http.door import Door
from tests.http.scenario import STEPS, Step, contains, filled
from tests.http.web_client import WebClient, web_client

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = json.loads((ROOT / "docs" / "api" / "openapi.json").read_text())


def _path_of(operation: str) -> tuple[str, dict[str, Any]]:
    for path, verbs in OPENAPI["paths"].items():
        for verb, each in verbs.items():
            if each["x-grpc-method"] == operation:
                return f"{verb.upper()} {path}", each
    raise AssertionError(f"the document has no {operation}")


def documented(rpc: str, status: int, body: Any) -> None:
    """Fail unless the OpenAPI document has a status of a method, and its schema takes the body."""
    responses = _path_of(rpc)[1]["responses"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": OPENAPI["components"]}).validate(body)


async def by_json(door: Door, step: Step, names: dict[str, str]) -> Any:
    """Make a step's call through the JSON door, and return the answer."""
    verb, _, path = filled(step.http, names).partition(" ")
    request = filled(dict(step.request), names)
    body = (
        {key: each for key, each in request.items() if key != "name"}
        if step.body == "*"
        else request.get(step.body)
    )
    answer = await door.send(verb, path, body, {name: request[name] for name in step.query})
    assert answer.status == 200, (step, answer)
    documented(step.rpc, 200, answer.json)
    return answer.json


def test_the_scenario_has_every_method() -> None:
    """The steps call each method of each service that the transcoder serves."""
    files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    assert {step.rpc for step in STEPS} == {
        f"{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    }


async def test_json_calls_every_method(door: Door) -> None:
    """Each method answers through the JSON door at the verb and path of its annotation, as documented."""
    names = {"door": "json"}
    for step in STEPS:
        answer = await by_json(door, step, names)
        assert contains(answer, filled(step.answer, names)), (step, answer)
        if step.save:
            names[step.save] = answer["name"]


async def test_grpc_web_calls_every_method(door: Door) -> None:
    """A published gRPC-Web client under Node.js calls each method through the same Envoy."""
    names = {"door": "web"}
    async with web_client(door.address) as client:
        for step in STEPS:
            answer = await client.call(step.rpc, filled(dict(step.request), names))
            assert contains(answer, {"answer": filled(step.answer, names)}), (step, answer)
            if step.save:
                names[step.save] = answer["answer"]["name"]
        await _refused(client)


async def _refused(client: WebClient) -> None:
    """Look at the errors of a gRPC-Web client: with code, message and details as any gRPC client's."""
    missing = await client.call("marketplace.v1.UserService/GetUser", {"name": "users/987654321"})
    assert missing["code"] == 5
    (info,) = missing["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["reason"] == "RESOURCE_NOT_FOUND"
    bad = await client.call("marketplace.v1.UserService/CreateUser", {"user": {"email": "no"}})
    assert bad["code"] == 3
    assert {each["field"] for each in bad["details"][1]["fieldViolations"]} == {"user.email", "user.username"}


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "code", "reason"),
    [
        ("GET", "/v1/users/987654321", None, 404, 5, "RESOURCE_NOT_FOUND"),
        ("POST", "/v1/users", {"email": "x"}, 400, 3, "INVALID_FIELDS"),
        ("GET", "/v1/users?pageSize=-1", None, 400, 3, "NEGATIVE_PAGE_SIZE"),
        ("GET", "/v1/users?pageSize=many", None, 400, 3, "MALFORMED_REQUEST"),
        ("GET", "/v1/users?page=2", None, 400, 3, "MALFORMED_REQUEST"),
        ("POST", "/v1/users", b'{"email": ', 400, 3, "MALFORMED_REQUEST"),
        ("POST", "/v1/users", [], 400, 3, "MALFORMED_REQUEST"),
        ("PATCH", "/v1/users/1", {"name": "users/2"}, 400, 3, "MALFORMED_REQUEST"),
        ("GET", "/v1/users/1?name=users/2", None, 400, 3, "FIELD_IN_QUERY"),
        ("GET", "/v1/users?view=1&parent", None, 400, 3, "FIELD_IN_QUERY"),
        ("PATCH", "/v1/users/1?user.email=b@example.com", {}, 400, 3, "FIELD_IN_QUERY"),
        ("GET", "/v1/users%2F1", None, 400, 3, "MALFORMED_REQUEST"),
        ("GET", "/v1/nobody", None, 404, 5, "METHOD_NOT_FOUND"),
        ("PUT", "/v1/users/1", {}, 404, 5, "METHOD_NOT_FOUND"),
        ("POST", "/v1/users/1:promote", {}, 404, 5, "METHOD_NOT_FOUND"),
        ("POST", "/v1/users", {"fullName": "x" * (3 << 20)}, 413, 3, "REQUEST_TOO_LARGE"),
    ],
)
async def test_an_error_is_a_status(
    door: Door, verb: str, path: str, body: Any, status: int, code: int, reason: str
) -> None:
    """An error of the service, and one of Envoy's own, is a google.rpc.Status in JSON with an ErrorInfo."""
    answer = await door.send(verb, path, body)
    assert answer.status == status, answer
    assert answer.json["code"] == code
    assert answer.json["message"]
    info = answer.json["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == (reason, "marketplace.example.com")
    Draft202012Validator(
        {"$ref": "#/components/schemas/google.rpc.Status", "components": OPENAPI["components"]}
    ).validate(answer.json)


async def test_a_taken_value_is_a_conflict(door: Door) -> None:
    """ALREADY_EXISTS is 409, and its BadRequest names every field whose value is taken."""
    user = {"email": "taken@example.com", "username": "taken"}
    assert (await door.send("POST", "/v1/users", user)).status == 200
    answer = await door.send("POST", "/v1/users", user)
    assert answer.status == 409
    documented("marketplace.v1.UserService/CreateUser", 409, answer.json)
    fields = [each["field"] for each in answer.json["details"][1]["fieldViolations"]]
    assert fields == ["user.email", "user.username"]


async def test_a_page_of_4_mib_passes(door: Door) -> None:
    """A page as large as the service sends passes, although JSON is longer, and the next one follows."""
    author = (await door.send("POST", "/v1/users", {"email": "w@example.com", "username": "writer"})).json["name"]
    post = {"author": author, "title": "Long", "content": '\u00e9"' * 50_000}
    await asyncio.gather(*(door.send("POST", "/v1/posts", post) for _ in range(40)))
    found: list[str] = []
    token = ""
    while not found or token:
        query = {"view": "POST_VIEW_FULL", "pageSize": 1000, "pageToken": token}
        page = (await door.send("GET", "/v1/posts", None, query)).json
        found += [each["name"] for each in page["posts"]]
        token = page.get("nextPageToken", "")
    assert len(found) == len(set(found)) >= 40


@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:3000", True), ("https://evil.example", False)])
async def test_pages_of_known_origins_may_call(door: Door, origin: str, allowed: bool) -> None:
    """A browser's question before a call is answered for the origins of the configuration alone."""
    for path in ("/v1/users", "/marketplace.v1.UserService/GetUser"):
        answer = await door.send("OPTIONS", path, origin=origin, access_control_request_method="POST")
        assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert (answer.status == 200) is allowed
