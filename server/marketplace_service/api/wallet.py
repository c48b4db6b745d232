"""Wallets: the money of users; one for each user, empty until something is paid in."""

from typing import Any, cast

from google.protobuf.message import Message
from grpc import StatusCode
from marketplace.v1 import wallet_pb2
from sqlalchemy import Connection, Table, select, update
from sqlalchemy.exc import IntegrityError

from tablestakes.crud import Plan, Resource
from tablestakes.crud.verb.singleton import adding
from tablestakes.database import Database, FaultKind, diagnose
from tablestakes.errors import StatusError, not_found
from marketplace_service.models import Wallet

# In cents. Far below what 64 bits hold, so that no sum of a balance and an amount leaves them: SQLite would go on
# with a rounded floating-point number.
MAX_BALANCE = 10**16

WALLETS = cast(Table, Wallet.__table__)


async def deposit(plan: Plan, database: Database, request: Any) -> Message:
    """Pay into a wallet."""
    (user,) = plan.names.parse(request.name, "name").values()

    def work(connection: Connection) -> Message:
        credit(connection, user, request.amount_cents, request.name)
        row = connection.execute(select(*plan.full.columns).where(Wallet.user_id == user)).one()
        return plan.full.message(connection, row)

    return await database.transact(work)


def credit(connection: Connection, user: int, cents: int, name: str) -> None:
    """Add to a wallet, in a transaction; the first time makes its row.

    Args:
        connection: The transaction.
        user: Whose wallet.
        cents: How much.
        name: The wallet's name, for errors.

    Raises:
        StatusError: NOT_FOUND, there is no such user; FAILED_PRECONDITION, the balance would be too large.
    """
    change = (
        update(Wallet)
        .where(Wallet.user_id == user, Wallet.balance_cents <= MAX_BALANCE - cents)
        .values(balance_cents=Wallet.balance_cents + cents)
    )
    if connection.execute(change).rowcount or (
        opened(connection, user, name) and connection.execute(change).rowcount
    ):
        return
    raise StatusError(
        StatusCode.FAILED_PRECONDITION,
        "BALANCE_LIMIT",
        f"{name} would hold more than {MAX_BALANCE} cents.",
        metadata={"resource": name, "limit": str(MAX_BALANCE)},
    )


def opened(connection: Connection, user: int, name: str) -> bool:
    """Make the row of a wallet where there is none, in a transaction, and return that it is there.

    Raises:
        StatusError: NOT_FOUND, there is no such user.
    """
    try:
        # Another call may make it at the same time; what fails then is undone by itself, and not all the rest.
        with connection.begin_nested():
            made = connection.execute(adding(WALLETS, {}), {"key_user_id": user}).rowcount
    except IntegrityError as error:
        fault = diagnose(error)
        if fault is None or fault.kind is not FaultKind.DUPLICATE:
            raise
        return True
    if not made:
        raise not_found(name)
    return True


def debit(connection: Connection, user: int, cents: int, name: str) -> None:
    """Take from a wallet, in a transaction.

    Raises:
        StatusError: FAILED_PRECONDITION, it holds less.
    """
    change = (
        update(Wallet)
        .where(Wallet.user_id == user, Wallet.balance_cents >= cents)
        .values(balance_cents=Wallet.balance_cents - cents)
    )
    if not connection.execute(change).rowcount:
        raise StatusError(
            StatusCode.FAILED_PRECONDITION,
            "INSUFFICIENT_FUNDS",
            f"{name} holds less than {cents} cents.",
            metadata={"resource": name, "needed": str(cents)},
        )


RESOURCE = Resource(message=wallet_pb2.Wallet, model=Wallet, methods={"Deposit": deposit})
