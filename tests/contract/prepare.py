"""What must be so before a sample of some resources can be created, and no proto says."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.contract.resource import Contract


async def _pay_in(contract: "Contract", transfer: Any) -> None:
    await contract.of("Wallet").rpc("Deposit", name=transfer.source, amount_cents=transfer.amount_cents)


async def _stock(contract: "Contract", order: Any) -> None:
    products = contract.of("Product")
    for item in order.items:
        product = products.resource.message(name=item.product, stock=item.quantity)
        await products.update(product, "stock")


PREPARATIONS: Mapping[str, Callable[["Contract", Any], Awaitable[None]]] = {
    "Order": _stock,
    "Transfer": _pay_in,
}
