"""A service: the one value that everything else is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData

from tablestakes.admission.priority import Priority
from tablestakes.command import Command
from tablestakes.crud.bind import bind
from tablestakes.crud.method import RETENTION, Method
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.query.total import MOST_COUNTED
from tablestakes.crud.resource import Resource
from tablestakes.crud.schema.codec import CodecFor
from tablestakes.database import request_ids
from tablestakes.database.migrations import Migrations
from tablestakes.edge.arrival import Gate
from tablestakes.filter import Limits
from tablestakes.policy.policies import Policies
from tablestakes.reasons import Reason
from tablestakes.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service.

    Attributes:
        name: The name of its command, which is also its name in logs, metrics and traces: `tablestakes`.
        resources: Its resources, in the order in which `routes` lists them.
        metadata: The tables of its models; that of request ids is added to them.
        migrations: Alembic's folder of its migrations. Its `env.py` calls `run_migrations`.
        version: Its version.
        settings: Its settings class: `tablestakes.Settings`, or a subclass with fields of its own.
        codecs: Codecs of its own, asked before the engine's.
        gates: Makes its gates of its settings; they are asked in their order before a request is decoded.
        priorities: Which calls go first when there are too many, by the full name of a method,
            `marketplace.v1.OrderService/PayOrder`, or of a service. Batches, exports and purges are SHEDDABLE and
            other methods NORMAL where it does not say otherwise.
        commands: Commands of its own.
        reasons: The reasons of errors of its own, beside the engine's.
    """

    name: str
    resources: Sequence[Resource]
    metadata: MetaData
    migrations: Path
    version: str = "0"
    settings: type[Settings] = Settings
    codecs: Sequence[CodecFor] = ()
    gates: Callable[[Any], Sequence[Gate]] = lambda _: ()
    priorities: Mapping[str, Priority] = field(default_factory=dict)
    commands: Sequence[Command] = ()
    reasons: Sequence[Reason] = ()

    def __post_init__(self) -> None:
        """Add the engine's own table."""
        request_ids.declare(self.metadata)

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the service's command line, and return its exit code.

        Args:
            arguments: The command line without the program's name; None for the process's own.
        """
        # The command line brings the server with it, which migrations and tests of a declaration do not need.
        from tablestakes.command_line import main  # noqa: PLC0415

        return main(self, arguments)

    def policies(self, methods: Sequence[Method]) -> Policies:
        """Return the row and field policies of its resources, compiled.

        Args:
            methods: Its RPCs, as `bind` returns them.

        Raises:
            DeclarationError: A policy names a field that there is not, or is no filter.
        """
        return Policies(self.resources, {each.schema.descriptor.full_name: each.schema for each in methods})

    def bind(
        self,
        tokens: PageTokens,
        limits: Limits | None = None,
        most_counted: int = MOST_COUNTED,
        retention: timedelta = RETENTION,
    ) -> list[Method]:
        """Return every RPC, compiled and verified.

        Args:
            tokens: Makes and reads page tokens.
            limits: How much a filter may ask for; None for the defaults.
            most_counted: How many resources are counted at most for a total.
            retention: For how long a resource that is deleted softly can be restored.

        Raises:
            DeclarationError: A resource, its model and its proto do not fit together.
        """
        return bind(self.resources, tokens, self.codecs, limits, most_counted, retention)

    @property
    def schema(self) -> Migrations:
        """The migrations of its database's schema."""
        return Migrations(self.migrations, f"{self.name} migrate")

    def run_migrations(self) -> None:
        """Run the migration command that is under way: the whole of `env.py`."""
        from tablestakes.database.environment import run  # noqa: PLC0415 - it can be imported under Alembic alone

        run(self.metadata, self.settings)
