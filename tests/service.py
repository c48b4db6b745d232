"""The service of the tests: the marketplace, and the gadgets beside it."""

from dataclasses import dataclass, fields

from marketplace_service import SERVICE as MARKETPLACE
from tablestakes import Resource, Service
from tablestakes.database import Database
from tablestakes.database.migrations import Migrations, Revisions
from tests.gadgets import GADGET, Gadget


class WithGadgets(Migrations):
    """Migrations that make the table of the gadgets too, which no migration knows."""

    async def upgrade(self, database: Database, revision: str = "head") -> Revisions:
        """Bring a database up to a revision, and add the table."""
        found = await super().upgrade(database, revision)
        async with database.engine.begin() as connection:
            await connection.run_sync(Gadget.metadata.create_all)
        return found


@dataclass(frozen=True, kw_only=True)
class GadgetService(Service):
    """A service that has gadgets among its resources."""

    @property
    def schema(self) -> Migrations:
        """The migrations of its database's schema, and the gadgets."""
        return WithGadgets(self.migrations, f"{self.name} migrate")


def with_gadgets(service: Service, gadget: Resource = GADGET) -> GadgetService:
    """Return a service with gadgets beside its own resources.

    Args:
        service: The service.
        gadget: The gadgets' declaration.
    """
    same = {each.name: getattr(service, each.name) for each in fields(service)}
    return GadgetService(**same | {"resources": (*service.resources, gadget)})


SERVICE = with_gadgets(MARKETPLACE)
