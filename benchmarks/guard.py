"""The cost of each guard: TLS, a verified token, the policy of a method, and that of rows, side by side.

    python -m benchmarks.guard [--rounds 7]

The server's CPU for one GetUser and for one ListPosts of 100 on PostgreSQL, by servers that differ by one guard:
none; TLS; policies with a token of an admin, who has no row policy; and the same with that of a user, who has. All
are measured in turn, after a warm-up. Then what the parts cost by themselves, in a loop of this process. Machines
differ and are shared: quote the ratios.
"""

import argparse
import asyncio
import statistics
import tempfile
import timeit
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from marketplace.v1 import post_pb2, post_pb2_grpc, user_pb2, user_pb2_grpc
from prometheus_client import CollectorRegistry

from benchmarks.database import migrated
from benchmarks.process import Process, create_user, service
from marketplace_service import SERVICE
from tablestakes import Caller
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.security.restrict import before_execute
from tablestakes.crud.security.row_security import current_security
from tablestakes.edge.may_call import may_call
from tablestakes.identity.claims import Claims
from tablestakes.identity.key_set import KeySet
from tablestakes.identity.token import Tokens
from tablestakes.telemetry import KeySetMetrics
from tablestakes.testing.issuer import Issuer
from tests.certificates import Authority

CALLS, POSTS, LOOPS = 1024, 100, 100_000
HOST = "service.test"


async def main() -> None:
    """Measure, and print a row for each guard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        await _rpcs(opened, folder, rounds)
        await _parts(folder)


async def _rpcs(opened: AsyncExitStack, folder: Path, rounds: int) -> None:
    url = await opened.enter_async_context(migrated())
    issuer, authority = Issuer(folder), Authority()
    certificate, key = authority.sign("service", dns=(HOST,)).write(folder)
    policy = ["--policy=on", *(f"--{name.replace('_', '-')}={value}" for name, value in issuer.settings.items())]
    flags: dict[str, list[str]] = {
        "none": [],
        "TLS": [f"--tls-certificate={certificate}", f"--tls-key={key}"],
        "policies": policy,
    }
    servers: dict[str, Process] = {}
    for name, more in flags.items():
        servers[name] = await opened.enter_async_context(service(url, more=more))
    plain = await opened.enter_async_context(grpc.aio.insecure_channel(servers["none"].address))
    guarded = await opened.enter_async_context(grpc.aio.insecure_channel(servers["policies"].address))
    roots = grpc.ssl_channel_credentials(authority.certificate)
    options = (("grpc.ssl_target_name_override", HOST),)
    secret = grpc.aio.secure_channel(servers["TLS"].address, roots, options=options)
    await opened.enter_async_context(secret)
    user = await create_user(user_pb2_grpc.UserServiceStub(plain), "guarded")
    await _posts(post_pb2_grpc.PostServiceStub(plain), user.name)
    admin = f"Bearer {issuer.token('root', roles=['admin'], expires_in=86_400)}"
    own = f"Bearer {issuer.token('user', user=user.name, expires_in=86_400)}"
    ways: dict[str, tuple[Process, grpc.aio.Channel, str]] = {
        "none": (servers["none"], plain, ""),
        "TLS": (servers["TLS"], secret, ""),
        "token and method policy": (servers["policies"], guarded, admin),
        "and row policy": (servers["policies"], guarded, own),
    }
    for rpc, call in (("GetUser", _get(user.name)), (f"ListPosts of {POSTS}", _list)):
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(rounds + 1):
            for name, (server, channel, token) in ways.items():
                metadata = (("authorization", token),) if token else ()
                calls = CALLS if rpc == "GetUser" else CALLS // 4
                figure = await server.cpu_us(call(channel, metadata), calls)
                if round_:
                    spent[name].append(figure)
        for name, figures in spent.items():
            print(f"{rpc}, {name}: {statistics.median(figures):.0f} µs, {_ratio(figures, spent['none'])} of none")


Call = Callable[[grpc.aio.Channel, Any], Callable[[], Awaitable[object]]]


def _get(name: str) -> Call:
    def of(channel: grpc.aio.Channel, metadata: Any) -> Callable[[], Awaitable[object]]:
        users: Any = user_pb2_grpc.UserServiceStub(channel)
        request = user_pb2.GetUserRequest(name=name)
        return lambda: users.GetUser(request, metadata=metadata)

    return of


def _list(channel: grpc.aio.Channel, metadata: Any) -> Callable[[], Awaitable[object]]:
    posts: Any = post_pb2_grpc.PostServiceStub(channel)
    request = post_pb2.ListPostsRequest(page_size=POSTS)
    return lambda: posts.ListPosts(request, metadata=metadata)


async def _posts(posts: Any, author: str) -> None:
    for number in range(POSTS):
        post = post_pb2.Post(author=author, title=f"Post {number}")
        made = await posts.CreatePost(post_pb2.CreatePostRequest(post=post))
        await posts.PublishPost(post_pb2.PublishPostRequest(name=made.name))


async def _parts(folder: Path) -> None:
    issuer = Issuer(folder)
    keys = KeySet(str(issuer.jwks), KeySetMetrics(CollectorRegistry()))
    await keys.load()
    tokens = Tokens(
        keys, issuer=issuer.issuer, audience=issuer.audience, claims=Claims(attributes={"user": "user"})
    )
    token = issuer.token("user", user="users/1", expires_in=86_400)
    caller = await tokens.verify(token)

    def verify() -> None:
        # It is remembered, so nothing is awaited.
        try:
            tokens.verify(token).send(None)
        except StopIteration:
            return

    methods = SERVICE.bind(PageTokens(b""))
    method = next(each for each in methods if each.name == "GetUser")
    policies = SERVICE.policies(methods)
    statement = method.schema.rows.select(method.schema.full)

    class Called:
        def __init__(self, caller: Caller) -> None:
            self.caller = caller

    arrival: Any = Called(caller)

    def rows() -> None:
        current_security.set(policies.of(caller, method))
        before_execute(None, statement, [], {"key_0": 1}, {})  # type: ignore[arg-type] # the connection is not looked at

    for name, part in (
        ("a remembered token", verify),
        ("the policy of a method", lambda: may_call(arrival, method)),
        ("the policy of rows, for one statement", rows),
    ):
        part()
        best = min(timeit.repeat(part, number=LOOPS, repeat=5)) / LOOPS
        print(f"{name}: {best * 1e6:.2f} µs")


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    asyncio.run(main())
