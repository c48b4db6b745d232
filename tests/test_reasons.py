"""The contract of errors: every reason is in the registry, and is met by a test."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import order_pb2, order_pb2_grpc, user_pb2, user_pb2_grpc

from marketplace_service import SERVICE
from tablestakes.edge.validate import MAX_ITEMS
from tablestakes.reasons import REASONS
from tests.serving import serving, settings_for
from tests.status import Refusal, refusal

ROOT = Path(__file__).resolve().parents[1]
# The makers of errors, with the position of the reason among its arguments.
MAKERS = {
    "StatusError": 1,
    "Answer": 1,
    "FieldViolation": 2,
    "FilterError": 2,
    "invalid_field": 2,
    "_violations": 2,
    "refused": 1,
}
# Made of others: where a write's outcome is not known, and where several fields are at fault.
DERIVED = {"OUTCOME_UNKNOWN", "INVALID_FIELDS"}


def made(package: str) -> Iterator[str]:
    """Yield the reasons that the source of a package makes errors with."""
    for path in (ROOT / "server" / package).rglob("*.py"):
        if "testing" in path.parts or "scaffold" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                given = node.args[MAKERS[node.func.id] :][:1]
                yield from (str(each.value) for each in given if isinstance(each, ast.Constant))


def test_every_reason_is_registered() -> None:
    """The registry of the engine, and that of the marketplace, have the reasons of their errors and no others."""
    engine, marketplace = {each.name for each in REASONS}, {each.name for each in SERVICE.reasons}
    assert engine == set(made("tablestakes")) | DERIVED
    assert marketplace == set(made("marketplace_service")) - engine


def test_reasons_have_the_form_of_aip_193() -> None:
    """Each reason is unique, in UPPER_SNAKE_CASE of at most 63 characters, and is explained by a sentence."""
    reasons = [*REASONS, *SERVICE.reasons]
    names = [each.name for each in reasons]
    assert len(names) == len(set(names))
    for each in reasons:
        assert each.name == each.name.upper()
        assert len(each.name) <= 63
        assert each.meaning.endswith(".")
        assert each.codes


@pytest.mark.parametrize("reason", [each.name for each in (*REASONS, *SERVICE.reasons)])
def test_every_reason_is_expected_by_a_test(reason: str) -> None:
    """Some test outside of this one expects the reason by its name."""
    folders = (ROOT / "tests", ROOT / "server" / "tablestakes" / "testing")
    tests = (path for folder in folders for path in folder.rglob("*.py"))
    assert any(f'"{reason}"' in path.read_text() for path in tests)


FAULTS = {
    # Each SQLSTATE that a statement can end with, and what a caller is told.
    "53100": (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_EXHAUSTED"),
    "40001": (grpc.StatusCode.ABORTED, "CONCURRENT_CHANGE"),
    "57014": (grpc.StatusCode.DEADLINE_EXCEEDED, "DATABASE_TIMEOUT"),
    "22003": (grpc.StatusCode.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "53300": (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY"),
}


async def refused(call: Any) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def test_what_a_database_says_has_a_reason(postgres_url: str) -> None:
    """Each kind of fault of PostgreSQL has its reason, and says of a write that it was not applied."""
    async with serving(settings_for(postgres_url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        async with app.database.engine.connect() as connection:
            for statement in (
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = NEW.full_name; END $$",
                "CREATE TRIGGER fail BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION fail()",
            ):
                await connection.exec_driver_sql(statement)
        users = user_pb2_grpc.UserServiceStub(channel)
        for state, expected in FAULTS.items():
            user = user_pb2.User(email="lost@example.com", username="lost", full_name=state)
            told = await refused(users.CreateUser(user_pb2.CreateUserRequest(user=user)))
            assert (told.code, told.info.reason) == expected, state
            assert told.info.metadata["outcome"] == "not_applied", state


async def test_a_request_has_a_bounded_number_of_items(channel: grpc.aio.Channel) -> None:
    """A request with more items than any may have is refused by the field that has them."""
    items = [order_pb2.OrderItem(product="products/1", quantity=1)] * (MAX_ITEMS + 1)
    order = order_pb2.Order(customer="users/1", items=items)
    orders = order_pb2_grpc.OrderServiceStub(channel)
    told = await refused(orders.CreateOrder(order_pb2.CreateOrderRequest(order=order)))
    assert (told.code, told.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_ITEMS")
    assert list(told.fields) == ["order.items"]
