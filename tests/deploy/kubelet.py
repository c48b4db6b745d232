"""Pods as processes: started, probed and ended as a kubelet does it with what the manifest says.

A pod has a network of its own, in which it listens on every address. Here each has an address of 127.0.0.0/8
instead, and the same ports.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.deploy.manifest import Pod
from tests.deploy.name_server import NameServer
from tests.process import HANGS

EVERY_ADDRESS = "0.0.0.0:"
SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Running:
    """A pod that runs.

    Attributes:
        pod: Its manifest.
        address: Its IP address.
        process: Its container.
        lines: What it has logged.
    """

    pod: Pod
    address: str
    process: asyncio.subprocess.Process
    lines: list[str]
    _reading: asyncio.Future[Any]

    async def end(self, endpoints: NameServer) -> int:
        """End it: no endpoint any more, preStop, SIGTERM, and SIGKILL once the grace is over.

        Returns:
            Its exit code: negative, by the signal, where it was killed.
        """
        endpoints.addresses.discard(self.address)
        until = asyncio.get_running_loop().time() + self.pod.grace
        await asyncio.sleep(self.pod.pre_stop)
        self.process.terminate()
        try:
            async with asyncio.timeout_at(until):
                await self.process.wait()
        except TimeoutError:
            self.kill()
        await self._reading
        return await self.process.wait()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


async def run(pod: Pod, address: str, endpoints: NameServer) -> Running:
    """Start a pod, and make it an endpoint once its startup and readiness probes succeed."""
    own = {name: value.replace(EVERY_ADDRESS, f"{address}:") for name, value in pod.environment.items()}
    # Nothing of this run's own settings but where programs and modules are.
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *pod.arguments), env=inherited | own, stderr=asyncio.subprocess.PIPE
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            lines.append(line.decode())  # noqa: PERF401 - each is there at once

    running = Running(pod, address, process, lines, asyncio.ensure_future(read()))
    try:
        async with asyncio.timeout(HANGS):
            for probe in (pod.startup, pod.readiness):
                while not await succeeds(probe, address):
                    assert process.returncode is None, lines
                    # More often than a kubelet: nobody has to wait here for the sake of a node.
                    await asyncio.sleep(0.1)
    except BaseException:
        running.kill()
        raise
    endpoints.addresses.add(address)
    return running


async def succeeds(probe: dict[str, Any], address: str) -> bool:
    """Carry out a gRPC probe, and return whether it succeeds."""
    asked = probe["grpc"]
    request = health_pb2.HealthCheckRequest(service=asked.get("service", ""))
    async with grpc.aio.insecure_channel(f"{address}:{asked['port']}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=probe["timeoutSeconds"])
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == SERVING)
