"""The service of the contract suite here, the marketplace with the gadgets, and the needs of their samples."""

from typing import Any

from tablestakes.testing.resource import Contract
from tests.service import SERVICE

__all__ = ["PREPARATIONS", "SERVICE"]


async def _pay_in(contract: Contract, transfer: Any) -> None:
    await contract.of("Wallet").rpc("DepositMoney", name=transfer.source, amount_cents=transfer.amount_cents)


async def _stock(contract: Contract, order: Any) -> None:
    products = contract.of("Product")
    for item in order.items:
        product = products.resource.message(name=item.product, stock=item.quantity)
        await products.update(product, "stock")


PREPARATIONS = {"Order": _stock, "Transfer": _pay_in}
