"""The priority of each method."""

import pytest

from marketplace_service import SERVICE
from tablestakes import DeclarationError, Priority
from tablestakes.admission.priority import priorities
from tablestakes.crud.query.token import PageTokens

METHODS = SERVICE.bind(PageTokens(b"0" * 32))


def test_batches_exports_and_purges_are_given_up_first() -> None:
    """What works through many resources is sheddable, and anything else normal, where nothing is declared."""
    found = priorities(METHODS, {})
    sheddable = {path.rpartition("/")[2] for path, each in found.items() if each is Priority.SHEDDABLE}
    assert {"BatchGetUsers", "ExportPosts", "PurgeUsers"} <= sheddable
    assert all(name.startswith(("Batch", "Export", "Purge")) for name in sheddable)
    assert set(found.values()) == {Priority.SHEDDABLE, Priority.NORMAL}


def test_what_is_declared_of_a_method_goes_before_its_service() -> None:
    """A declaration of a service holds for its methods, but for those with one of their own."""
    service = "marketplace.v1.OrderService"
    found = priorities(METHODS, {service: Priority.SHEDDABLE, f"{service}/PayOrder": Priority.CRITICAL})
    assert found[f"/{service}/PayOrder"] is Priority.CRITICAL
    assert found[f"/{service}/GetOrder"] is Priority.SHEDDABLE


def test_a_name_of_nothing_is_refused() -> None:
    """A priority of no method and no service is a mistake of the declaration, and is named."""
    with pytest.raises(DeclarationError, match=r"OrderService/PayOrders"):
        priorities(METHODS, {"marketplace.v1.OrderService/PayOrders": Priority.CRITICAL})
