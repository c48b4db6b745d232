"""The gRPC service config of a service: which calls a client's channel repeats by itself (gRFC A6)."""

import json
from collections.abc import Iterable
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

# gRPC's core tries 5 times at the most. UNAVAILABLE alone, for any other status is the service's own answer.
RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# A channel stops repeating calls while more than half of these tokens are spent: a failure costs one, and a success
# gives a tenth of one back.
THROTTLING = {"maxTokens": 10, "tokenRatio": 0.1}


def reads(method: MethodDescriptor) -> bool:
    """Return whether a method changes nothing: by its `google.api.http`, or else by its name."""
    options: Any = method.GetOptions()
    rule = options.Extensions[annotations_pb2.http]
    if rule.WhichOneof("pattern"):
        return bool(rule.get)
    return method.name.startswith(("Get", "List"))


def service_config(services: Iterable[ServiceDescriptor], *, request_ids: bool) -> str:
    """Return the service config of a client of some services, in JSON.

    Args:
        services: The services.
        request_ids: Whether the client sends a `request_id` with every write, so that writes are repeated too.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if reads(method) or (request_ids and "request_id" in method.input_type.fields_by_name)
    ]
    config: dict[str, Any] = {"retryThrottling": THROTTLING}
    if names:
        config["methodConfig"] = [{"name": names, "retryPolicy": RETRY_POLICY}]
    return json.dumps(config, indent=2) + "\n"
