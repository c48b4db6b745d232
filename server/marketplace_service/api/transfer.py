"""Transfers: money from one wallet to another, all of it or none."""

from typing import Any

from google.protobuf.message import Message
from marketplace.v1 import transfer_pb2
from sqlalchemy import Connection, insert, select

from marketplace_service.api.wallet import credit, debit, opened
from tablestakes.crud import Plan, Resource
from tablestakes.crud.schema.reference import missing
from tablestakes.database import Database
from tablestakes.errors import invalid_field
from marketplace_service.models import Transfer, User, Wallet


async def create_transfer(plan: Plan, database: Database, request: Any) -> Message:
    """Move money, with both wallets locked in the order of their ids: opposite transfers never deadlock."""
    transfer = request.transfer
    source = plan.fields["source"].value(transfer, "transfer")
    destination = plan.fields["destination"].value(transfer, "transfer")
    cents: int = transfer.amount_cents
    if source == destination:
        raise invalid_field("transfer.destination", "must be another wallet than the source.", "SAME_WALLET")

    def work(connection: Connection) -> Message:
        wallets = select(Wallet.user_id).where(Wallet.user_id.in_((source, destination))).order_by(Wallet.user_id)
        names = {source: transfer.source, destination: transfer.destination}
        fresh = names.keys() - set(connection.scalars(wallets))
        for path, user in (("transfer.source", source), ("transfer.destination", destination)):
            if user in fresh and not connection.scalar(select(User.id).where(User.id == user)):
                raise missing(path, names[user])
        # Before anything is locked: a wallet that another call makes meanwhile would not be among those locked
        # here, and be locked later, out of the order.
        for user in sorted(fresh):
            opened(connection, user, names[user])
        connection.execute(wallets.with_for_update())
        debit(connection, source, cents, transfer.source)
        credit(connection, destination, cents, transfer.destination)
        values = {"source_id": source, "destination_id": destination, "amount_cents": cents}
        row = connection.execute(insert(Transfer).values(values).returning(*plan.full.columns)).one()
        return plan.full.message(connection, row)

    return await database.transact(work)


RESOURCE = Resource(message=transfer_pb2.Transfer, model=Transfer, methods={"CreateTransfer": create_transfer})
