"""Deleted resources that can be restored no longer: they are removed for good (AIP-164)."""

from datetime import UTC, datetime

from tablestakes.crud.once import CLOCK_SKEW
from tablestakes.crud.schema.removal import BATCH, Removal
from tablestakes.crud.session import Session
from tablestakes.database import Database


class Expired:
    """Removes the rows of a resource whose `expire_time` is over.

    Args:
        what: What is swept, for the log: the full name of the resource.
        removal: How its rows are removed.

    Attributes:
        what: As above.
        batch: How many rows a sweep removes at most.
    """

    def __init__(self, what: str, removal: Removal) -> None:
        self.what = what
        self.batch = BATCH
        self._removal = removal

    async def sweep(self, database: Database) -> int:
        """Remove a batch of those that have expired, and return how many: at the end fewer than `batch`.

        The clocks of replicas may be apart: none removes what by another's clock has not expired.
        """
        only = self._removal.expired(datetime.now(UTC) - CLOCK_SKEW)
        return await database.transact(lambda connection: self._removal.purge(Session(connection), only, {}))
