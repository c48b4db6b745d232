"""Explaining what would become of a call: who calls, whether it may, and which policy gives it the row."""

from collections.abc import Mapping, Sequence
from inspect import isawaitable

from prometheus_client import CollectorRegistry

from tablestakes.command import CommandError
from tablestakes.crud.call import ANONYMOUS, Caller
from tablestakes.crud.declaration import likely
from tablestakes.crud.method import Method
from tablestakes.database import open_database
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import StatusError
from tablestakes.identity.ways import ways_of
from tablestakes.policy.explain import conclusion, explain_rows
from tablestakes.service import Service
from tablestakes.settings import Settings
from tablestakes.telemetry import KeySetMetrics


class _Asked(Arrival):
    """A call that nobody made, with credentials."""

    def __init__(self, credentials: str) -> None:
        self.caller = ANONYMOUS
        self._credentials = credentials

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The metadata with the credentials alone."""
        return {"authorization": f"Bearer {self._credentials}"}


async def explain(
    service: Service, settings: Settings, methods: Sequence[Method], wanted: str, name: str, credentials: str | None
) -> list[str]:
    """Return the lines that explain a call.

    Args:
        service: The service.
        settings: Its settings.
        methods: Its methods.
        wanted: The name of the method, with or without its service: `GetPost`.
        name: The name of the resource.
        credentials: The token or the preshared key of who calls; None for nobody.

    Raises:
        CommandError: There is no such method, or no resource can have the name.
        SettingsError: A file of keys cannot be read.
    """
    by_name = {each.name: each for each in methods} | {each.path: each for each in methods}
    method = by_name.get(wanted)
    if method is None:
        raise CommandError(f"there is no method {wanted}; {likely(wanted, by_name)}")
    schema = method.schema
    try:
        key = schema.names.parse(name, "NAME")
        caller = ANONYMOUS if credentials is None else await _who(settings, credentials)
    except StatusError as error:
        raise CommandError(error.message) from None
    lines = [
        f"method  {method.path}",
        f"caller  {_described(caller)}",
        f"may     {method.access or 'nobody: nothing says it'}  -> {_may(method, caller)}",
    ]
    resource = next(each for each in service.resources if each.message is schema.message)
    database = open_database(settings)
    try:
        verdicts = await explain_rows(service.policies(methods), resource, method, caller, key, database)
    finally:
        await database.close()
    lines += [f"rows    {verdict}" for verdict in verdicts]
    ends = _may(method, caller)
    return [*lines, f"answer  {ends if ends != 'OK' else conclusion(verdicts, method)}"]


async def _who(settings: Settings, credentials: str) -> Caller:
    arrival = _Asked(credentials)
    for _, way in await ways_of(settings, KeySetMetrics(CollectorRegistry())):
        found = way(arrival)
        if (caller := await found if isawaitable(found) else found) is not None:
            return caller
    raise CommandError("--as: nobody is known by this: set jwks or preshared_keys as the service has them")


def _described(caller: Caller) -> str:
    if caller.subject is None:
        return "nobody is known"
    attributes = ", ".join(f"{name}={value}" for name, value in caller.attributes.items())
    return (
        f"{caller.subject}, roles: {', '.join(sorted(caller.roles)) or 'none'}, attributes: {attributes or 'none'}"
    )


def _may(method: Method, caller: Caller) -> str:
    if method.access is not None and method.access.allows(caller):
        return "OK"
    return "UNAUTHENTICATED" if caller.subject is None else "PERMISSION_DENIED"
