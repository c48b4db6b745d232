"""Both versions of gRPC reflection, and the list of grpc.health.v1."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tablestakes.app import App
from tablestakes.stubs import SCRIPTS
from tests.process import HANGS

SERVING = health_pb2.HealthCheckResponse.SERVING


async def ask(channel: grpc.aio.Channel, version: str, **question: str) -> Any:
    """Return the answer to one question of reflection."""
    call: Any = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = [answer async for answer in call(iter([reflection_pb2.ServerReflectionRequest(**question)]))]
    return answers[0]


async def test_both_versions_answer_alike(channel: grpc.aio.Channel) -> None:
    """Reflection v1 and v1alpha list the same services, both of reflection's own among them, and describe them."""
    newer = await ask(channel, "v1", list_services="")
    listed = {service.name for service in newer.list_services_response.service}
    older = await ask(channel, "v1alpha", list_services="")
    assert listed == {service.name for service in older.list_services_response.service}
    assert {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")} < listed
    for name in listed:
        answer = await ask(channel, "v1", file_containing_symbol=name)
        assert answer.file_descriptor_response.file_descriptor_proto, name


async def test_a_tool_calls_by_reflection(app: App, tmp_path: Path) -> None:
    """`buf curl` calls a method whose proto it does not have, without asking the older version."""
    process = await asyncio.create_subprocess_exec(
        *(SCRIPTS / "buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc", "--verbose"),
        *("--reflect-protocol", "grpc-v1", "--data", '{"pageSize": 1}'),
        f"http://{app.address}/marketplace.v1.TagService/ListTags",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), HANGS)
    assert process.returncode == 0, errors.decode()
    assert isinstance(json.loads(output or b"{}"), dict)
    assert b"v1alpha" not in errors


async def test_health_lists_every_service(channel: grpc.aio.Channel) -> None:
    """Health's List answers with the server and each of its services, all of them SERVING."""
    found = (await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())).statuses
    assert {"", "marketplace.v1.UserService", "marketplace.v1.WalletService"} <= set(found)
    assert {status.status for status in found.values()} == {SERVING}
