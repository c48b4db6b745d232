"""Transfers: money from one wallet to another, all of it or none."""

from google.protobuf.message import Message
from marketplace.v1 import transfer_pb2, wallet_pb2
from sqlalchemy import select

from marketplace_service.api.wallet import credit, debit
from marketplace_service.models import Transfer, User, Wallet
from tablestakes import (
    AUTHENTICATED,
    EVERY_ROW,
    KNOWN,
    Call,
    Resource,
    RowPolicy,
    Schema,
    Session,
    Work,
    invalid_field,
    missing,
)


async def create_transfer(transfers: Schema, call: Call[transfer_pb2.CreateTransferRequest]) -> Work[Message]:
    """Move money, with both wallets locked in the order of their ids: opposite transfers never deadlock."""
    transfer = call.request.transfer
    source = transfers.field("source").value(transfer, "transfer")
    destination = transfers.field("destination").value(transfer, "transfer")
    cents = transfer.amount_cents
    if source == destination:
        raise invalid_field("transfer.destination", "must be another wallet than the source.", "SAME_WALLET")
    names = {source: transfer.source, destination: transfer.destination}
    values = {"source_id": source, "destination_id": destination, "amount_cents": cents}

    def move(session: Session) -> Message:
        connection = session.connection
        # In the service's right, for the destination may be anybody's; but a transfer is its caller's, or undone.
        with session.elevated():
            pay(session)
            row = transfers.rows.insert(session, values)
        transfers.rows.require_allowed(session, [transfers.full.key(row)])
        return transfers.full.message(connection, row)

    def pay(session: Session) -> None:
        connection = session.connection
        wallets = select(Wallet.user_id).where(Wallet.user_id.in_((source, destination))).order_by(Wallet.user_id)
        absent = names.keys() - set(connection.scalars(wallets))
        # Locked as a foreign key locks them: a user who is there stays until the wallet is.
        users = select(User.id).where(User.id.in_(absent), User.delete_time.is_(None))
        users = users.with_for_update(read=True, key_share=True)
        unknown = absent - set(connection.scalars(users)) if absent else absent
        for path, user in (("transfer.source", source), ("transfer.destination", destination)):
            if user in unknown:
                raise missing(path, names[user])
        # Before anything is locked: a wallet that another call makes meanwhile would not be among those locked
        # here, and be locked later, out of the order.
        for user in sorted(absent):
            transfers.of(wallet_pb2.Wallet).rows.ensure(session, (user,))
        connection.execute(wallets.with_for_update())
        debit(session, source, cents, transfer.source)
        credit(session, destination, cents, transfer.destination)

    return Work(move, atomic=True, writes=values)


RESOURCE = Resource(
    message=transfer_pb2.Transfer,
    model=Transfer,
    methods={"CreateTransfer": create_transfer},
    reads=KNOWN,
    writes=KNOWN,
    rows=(
        RowPolicy(to=AUTHENTICATED, read="destination.parent = $caller.user"),
        RowPolicy(to=AUTHENTICATED, read="source.parent = $caller.user", write="source.parent = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
