"""Send the JSON door what Schemathesis makes of its OpenAPI document: `make test-http-fuzz`.

Any answer 5xx, any status or content type that the document does not have, and any body that its schema refuses, is
a failure. The resources that paths name are there, so that calls get past them.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from k8s.envoy import local
from marketplace_service import SERVICE
from tablestakes.testing.serving import serving, settings_for
from tests.http.door import Door

PROGRAM = Path(sys.prefix) / "fuzz" / "bin" / "schemathesis"
OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "api" / "openapi.json"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Far past what is sent: what is tested here is the answers, and the limits have tests of their own.
NO_LIMIT = {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"}


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=180, help="how long to go on")
    parser.add_argument("--seed", type=int, default=1, help="the seed of what is sent")
    given = parser.parse_args()
    return asyncio.run(run(given.seconds, given.seed))


async def run(seconds: int, seed: int) -> int:
    """Run the service, Envoy and Schemathesis, and return the exit code of the last."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = settings_for(SERVICE, f"sqlite+aiosqlite:///{folder}/fuzz.db", log_level="error")
        async with serving(SERVICE, settings) as app:
            config = local.configuration(listen="127.0.0.1:0", upstreams=[app.address])
            limits = local.http_filter(config, "local_ratelimit")
            limits["token_bucket"] = limits["descriptors"][0]["token_bucket"] = NO_LIMIT
            async with local.running(config, log=folder / "envoy.log") as envoy:
                names = await _filled(Door(envoy.address, envoy.admin))
                (folder / "schemathesis.toml").write_text(
                    "[parameters]\n"
                    + "".join(f'"path.{name}" = {json.dumps(value)}\n' for name, value in names.items())
                )
                process = await asyncio.create_subprocess_exec(
                    *(PROGRAM, "--config-file", folder / "schemathesis.toml", "run", OPENAPI),
                    *("--url", f"http://{envoy.address}", "--checks", CHECKS, "--continue-on-failure"),
                    *("--seed", str(seed), "--max-time", str(seconds), "--generation-database", "none"),
                    cwd=folder,
                )
                return await process.wait()


async def _filled(door: Door) -> dict[str, str]:
    """Create a resource of each kind, and return the parts of their names by the parameters of paths."""

    async def create(path: str, body: object) -> str:
        answer = await door.send("POST", f"/v1/{path}", body)
        assert answer.status == 200, answer
        name: str = answer.json["name"]
        return name

    user = await create("users", {"email": "ann@example.com", "username": "ann"})
    other = await create("users", {"email": "bob@example.com", "username": "bob"})
    address = {"lines": "1 Long Road", "city": "York", "regionCode": "GB"}
    post = await create("posts", {"author": user, "title": "First"})
    product = await create(
        "products", {"displayName": "Lamp", "category": "Light", "priceCents": "5", "stock": "9"}
    )
    assert (await door.send("POST", f"/v1/{user}/wallet:depositMoney", {"amountCents": "1000"})).status == 200
    money = {"source": f"{user}/wallet", "destination": f"{other}/wallet", "amountCents": "1"}
    names = [
        user,
        post,
        product,
        await create(f"{user}/addresses", address),
        await create(f"{post}/comments", {"author": user, "body": "Well said"}),
        await create("tags?tagId=news", {"displayName": "News"}),
        await create("transfers", money),
        await create("orders", {"customer": user, "items": [{"product": product, "quantity": 1}]}),
    ]
    singular = {"addresses": "address"}
    return {singular.get(kind, kind[:-1]): key for *_, kind, key in (name.split("/") for name in names)}


if __name__ == "__main__":
    sys.exit(main())
