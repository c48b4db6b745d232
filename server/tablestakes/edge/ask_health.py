"""Asking a server for its health, as a container's health check does (grpc.health.v1)."""

from pathlib import Path

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tablestakes.command import CommandError
from tablestakes.edge.certificate import Files

# A server that listens on every address is asked on the one that no network takes part in.
EVERY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - it is dialled, not listened on


async def ask_health(listen: str, service: str, seconds: float, files: Files | None = None) -> str:
    """Return the health of a service: SERVING.

    Args:
        listen: Where the server listens, `host:port`.
        service: The service's full name; empty for the server as a whole.
        seconds: How long the answer may take.
        files: The server's own certificate, None where it listens without TLS.

    Raises:
        CommandError: The service is not SERVING, unknown to the server, or the server did not answer.
    """
    host, _, port = listen.rpartition(":")
    target = f"{EVERY.get(host, host)}:{port}"
    async with _channel(target, files) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = await ask(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise CommandError(f"{target} has no service {service}") from None
            raise CommandError(f"{target} does not answer: {error.code().name}, {error.details()}") from None
    status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise CommandError(f"{service or 'the server'} at {target} is {status}")
    return status


def _channel(target: str, files: Files | None) -> grpc.aio.Channel:
    # The server is on this machine, whatever the environment says of proxies.
    options: list[tuple[str, str | int]] = [("grpc.enable_http_proxy", 0)]
    if files is None:
        return grpc.aio.insecure_channel(target, options=options)
    try:
        chain, key = Path(files.certificate).read_bytes(), Path(files.key).read_bytes()
        certificate = x509.load_pem_x509_certificate(chain)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise CommandError(f"{files.certificate}: {getattr(error, 'strerror', None) or error}") from None
    # Under its own name, which is not that of this machine; and where callers need a certificate, with its own.
    options.append(("grpc.ssl_target_name_override", named[0] if named else target))
    own = grpc.ssl_channel_credentials(_trusted(files, chain), *((key, chain) if files.authority else (None, None)))
    return grpc.aio.secure_channel(target, own, options=options)


def _trusted(files: Files, chain: bytes) -> bytes:
    """Return what to verify the server's certificate against: its own chain, and the authorities that it knows."""
    return chain + (b"\n" + Path(files.authority).read_bytes() if files.authority else b"")
