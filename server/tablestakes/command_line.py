"""The command line of a service: the engine's commands, such as serve and migrate, and the service's own."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from tablestakes.app import serve_until_signal
from tablestakes.command import Command, CommandError
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method
from tablestakes.crud.query.index import unserved
from tablestakes.crud.query.token import PageTokens
from tablestakes.database import diagnose, open_database
from tablestakes.database.schema_error import SchemaError
from tablestakes.edge.ask_health import ask_health
from tablestakes.edge.certificate import Files
from tablestakes.edge.listen import BindError
from tablestakes.explain import explain
from tablestakes.logs import configure
from tablestakes.policy.methods import require_policies, table
from tablestakes.service import Service
from tablestakes.settings import Settings, SettingsError, flag
from tablestakes.telemetry import TracingError, open_tracer

# A shell gives the last one to a process that SIGINT ended.
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

# Words of `policy explain METHOD NAME`.
EXPLAINED = 3

# The flags of `health`, which are no settings of a service.
HEALTH_FLAGS = {
    "service": "The full name of the service to ask for. Default: the server as a whole",
    "within": "Seconds that the answer may take. Default: 3",
}


# The flag of `policy`, which is no setting of a service.
POLICY_FLAGS = {"as": "The token or the preshared key of the caller. Default: nobody is known"}


def main(service: Service, arguments: Sequence[str] | None = None) -> int:
    """Run a command of a service.

    Args:
        service: The service.
        arguments: The command line without the program's name; None for the process's own.

    Returns:
        The exit code: 0, 1 where the command failed, 2 where it was misused, 130 where it was interrupted.
        An error is one line on standard error.
    """
    given = {
        name: value for name, value in vars(_parser(service).parse_args(arguments)).items() if value is not None
    }
    run: Callable[[dict[str, Any]], None] = given.pop("run")
    fail = partial(_fail, service.name)
    try:
        run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads the output any more: the rest of it goes nowhere, without a complaint at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (SettingsError, TracingError) as error:
        return fail(error, MISUSED)
    except (BindError, CommandError, DeclarationError, SchemaError) as error:
        return fail(error, FAILED)
    except KeyboardInterrupt:
        return fail("interrupted", INTERRUPTED)
    return 0


def _commands(service: Service) -> list[Command]:
    """Return the engine's commands for a service, and the service's own."""
    settings = service.settings

    def command(
        name: str,
        function: Callable[..., Coroutine[Any, Any, None]],
        meaning: str,
        *arguments: str,
        flags: Mapping[str, str] = MappingProxyType({}),
        optional: Sequence[str] = (),
        takes: str = "",
    ) -> Command:
        own = "".join(f"  {flag(each)}\n      {told}\n" for each, told in flags.items())
        own = own and f"options:\n\n{own}\n"
        return Command(
            name=name,
            meaning=meaning,
            run=partial(_with_settings, service, function, (*arguments, *optional, *flags)),
            flags=[*flags, *settings.model_fields],
            arguments=arguments,
            optional=optional,
            takes=" ".join([takes or " ".join(argument.upper() for argument in arguments), "[SETTINGS]"]).strip(),
            epilog=f"{own}settings, by flag or environment variable:\n\n{settings.table()}",
        )

    return [
        command("serve", _serve, "serve until SIGTERM; SQLite is migrated first, PostgreSQL must have been"),
        command(
            "health",
            _health,
            "ask the server that listens by these settings for its health; 0 is SERVING",
            flags=HEALTH_FLAGS,
        ),
        command("migrate", _migrate, "bring the database's schema to this version"),
        command("routes", _routes, "print each RPC, what serves it, and the table behind it"),
        command(
            "policy",
            _policy,
            "print who may call each method, and which rows; or explain a call: explain METHOD NAME --as TOKEN",
            flags=POLICY_FLAGS,
            optional=("explain", "method", "name"),
            takes="[explain METHOD NAME] [--as TOKEN]",
        ),
        command("check", _check, "verify declarations, indexes and the database's schema, and serve nothing"),
        command("migration", _migration, "write a migration from the difference to the models", "message"),
        *service.commands,
    ]


def _with_settings(
    service: Service,
    work: Callable[..., Coroutine[Any, Any, None]],
    own: Sequence[str],
    given: dict[str, Any],
) -> None:
    """Run a command that has the service's settings, and arguments and flags of its own."""
    arguments = {name: given.pop(name) for name in own if name in given}
    settings = service.settings.load(**given)
    configure(settings.log_level, json=None if settings.log_format == "auto" else settings.log_format == "json")
    try:
        uvloop.run(work(service, settings, **arguments))
    except BrokenPipeError:
        raise  # nobody reads the output any more, which is no fault of the database
    except (SQLAlchemyError, OSError) as error:
        raise CommandError(f"{_cause(error)} ({settings.url.render_as_string()})") from None


async def _serve(service: Service, settings: Settings) -> None:
    await serve_until_signal(service, settings, tracer=open_tracer(service.name, service.version))


async def _health(_: Service, settings: Settings, service: str = "", within: str = "3") -> None:
    try:
        seconds = float(within)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{flag('within')}: not a number of seconds above 0")
    own = settings.tls_certificate
    files = Files(own, settings.tls_key or own, settings.tls_client_ca) if own else None
    _print(await ask_health(settings.listen, service, seconds, files))


async def _migrate(service: Service, settings: Settings) -> None:
    # Two connections: one holds the migrators' lock while the other migrates.
    database = open_database(settings.model_copy(update={"pool_size": 2}), patient=True)
    try:
        before = await service.schema.revisions(database)
        after = await service.schema.upgrade(database)
    finally:
        await database.close()
    event = "migrated" if before.current != after.current else "nothing to migrate"
    structlog.get_logger().info(event, database=settings.url.render_as_string(), revision=after.current)


async def _policy(service: Service, settings: Settings, **given: str) -> None:
    methods = service.bind(PageTokens(b""))
    words = [given[name] for name in ("explain", "method", "name") if name in given]
    if not words and "as" not in given:
        _print_table(table(methods, service.resources))
        return
    if len(words) != EXPLAINED or words[0] != "explain":
        raise CommandError("say what to explain: explain METHOD NAME --as TOKEN")
    for line in await explain(service, settings, methods, words[1], words[2], given.get("as")):
        _print(line)


async def _check(service: Service, settings: Settings) -> None:
    methods = service.bind(PageTokens(b""))
    service.policies(methods)
    if settings.policy == "on" or any(each.access for each in methods):
        require_policies(methods)
    database = open_database(settings)
    try:
        await service.schema.require_head(database)
    finally:
        await database.close()
    lines = unserved_lines(service, methods)
    for line in lines:
        _print(line)
    if lines:
        raise CommandError("declared orders or filters have no index; each is named above")
    _print(f"{len(methods)} RPCs are served; the schema is current")


def unserved_lines(service: Service, methods: Sequence[Method]) -> list[str]:
    """Return a line for each order and each filter that a listed resource declares and no index serves."""
    declared = {resource.descriptor.full_name: resource for resource in service.resources}
    listed = {each.schema.descriptor.full_name: each.schema for each in methods if each.served_by == "list"}
    return [line for name, schema in listed.items() for line in unserved(schema, declared[name])]


async def _routes(service: Service, _: Settings) -> None:
    methods = service.bind(PageTokens(b""))
    _print_table(
        [("RPC", "SERVED BY", "TABLE"), *((each.path, each.served_by, each.schema.table.name) for each in methods)]
    )


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def _migration(service: Service, _: Settings, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/migration.db"
        database = open_database(service.settings.load(database_url=url))
        try:
            await service.schema.upgrade(database)
            path = await service.schema.write(database, message)
        finally:
            await database.close()
    _print(str(path))


def _parser(service: Service) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=service.name)
    parser.add_argument("--version", action="version", version=f"{service.name} {service.version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _commands(service):
        each: argparse.ArgumentParser = commands.add_parser(
            command.name,
            help=command.meaning,
            description=f"{command.meaning[0].upper()}{command.meaning[1:]}.",
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"{service.name} {command.name} {command.takes}".rstrip(),
            # An abbreviation would mean something else once a flag is added.
            allow_abbrev=False,
        )
        for name in command.flags:
            each.add_argument(flag(name), dest=name, metavar="VALUE", help=argparse.SUPPRESS)
        for name in command.arguments:
            each.add_argument(name, help=argparse.SUPPRESS)
        for name in command.optional:
            each.add_argument(name, nargs="?", help=argparse.SUPPRESS)
        each.set_defaults(run=command.run)
    return parser


def _cause(error: SQLAlchemyError | OSError) -> str:
    """Return the cause of a failure in one line: SQLAlchemy's own text is several."""
    original = getattr(error, "orig", None) or error
    fault = diagnose(error)
    return f"{fault.kind.name.lower() if fault else 'failed'}: {str(original).partition(chr(10))[0]}"


def _fail(name: str, error: object, code: int) -> int:
    print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return code


def _print(line: str) -> None:
    print(line)  # noqa: T201 - a command speaks to its user
