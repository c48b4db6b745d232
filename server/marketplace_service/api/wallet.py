"""Wallets: the money of users; one for each user, empty until something is paid in."""

from google.protobuf.message import Message
from grpc import StatusCode
from marketplace.v1 import wallet_pb2
from sqlalchemy import select, update

from marketplace_service.api.roles import ADMIN
from marketplace_service.models import Wallet
from tablestakes import (
    AUTHENTICATED,
    EVERY_ROW,
    KNOWN,
    Call,
    Resource,
    RowPolicy,
    Schema,
    Session,
    StatusError,
    Work,
    not_found,
)

# In cents. Far below the limit of 64 bits, so that no sum of a balance and an amount passes it: SQLite would go on
# with a rounded floating-point number.
MAX_BALANCE = 10**16


async def deposit_money(wallets: Schema, call: Call[wallet_pb2.DepositMoneyRequest]) -> Work[Message]:
    """Pay into a wallet; the first time makes its row."""
    request = call.request
    key = wallets.names.parse(request.name, "name")

    def pay_in(session: Session) -> Message:
        (user,) = key
        if not add(session, user, request.amount_cents):
            wallets.rows.ensure(session, key)
            credit(session, user, request.amount_cents, request.name)
        row = wallets.rows.read(session, key)
        if row is None:
            raise not_found(request.name)
        return wallets.full.message(session.connection, row)

    return Work(pay_in, atomic=True, writes={"user_id": key[0]}, key=key)


def credit(session: Session, user: int, cents: int, name: str) -> None:
    """Add to a wallet, in a transaction.

    Args:
        session: The session.
        user: The id of the wallet's user.
        cents: How much.
        name: The wallet's name, for errors.

    Raises:
        StatusError: NOT_FOUND, the wallet has no row; FAILED_PRECONDITION, the balance would be too large.
    """
    if add(session, user, cents):
        return
    if session.connection.scalar(select(Wallet.user_id).where(Wallet.user_id == user)) is None:
        raise not_found(name)
    raise StatusError(
        StatusCode.FAILED_PRECONDITION,
        "BALANCE_LIMIT",
        f"{name} would hold more than {MAX_BALANCE} cents.",
        metadata={"resource": name, "limit": str(MAX_BALANCE)},
    )


def add(session: Session, user: int, cents: int) -> bool:
    """Add to a wallet, and return whether it has a row that can hold so much."""
    change = (
        update(Wallet)
        .where(Wallet.user_id == user, Wallet.balance_cents <= MAX_BALANCE - cents)
        .values(balance_cents=Wallet.balance_cents + cents, **session.changed)
    )
    return session.connection.execute(change).rowcount > 0


def debit(session: Session, user: int, cents: int, name: str) -> None:
    """Take from a wallet, in a transaction.

    Raises:
        StatusError: FAILED_PRECONDITION, it holds less.
    """
    change = (
        update(Wallet)
        .where(Wallet.user_id == user, Wallet.balance_cents >= cents)
        .values(balance_cents=Wallet.balance_cents - cents, **session.changed)
    )
    if not session.connection.execute(change).rowcount:
        raise StatusError(
            StatusCode.FAILED_PRECONDITION,
            "INSUFFICIENT_FUNDS",
            f"{name} holds less than {cents} cents.",
            metadata={"resource": name, "needed": str(cents)},
        )


RESOURCE = Resource(
    message=wallet_pb2.Wallet,
    model=Wallet,
    methods={"DepositMoney": deposit_money},
    # Nobody pays into their own wallet by themselves.
    reads=KNOWN,
    writes=ADMIN,
    rows=(
        RowPolicy(to=AUTHENTICATED, read="parent = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
