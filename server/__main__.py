"""The command line: `tablestakes`, or `python -m server`."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Any

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from server import settings
from server.api import RESOURCES
from server.app import serve_until_told
from server.crud import DeclarationError, PageTokens, bind
from server.database import diagnose, open_database
from server.database.migrate import SchemaError, require_head, upgrade
from server.edge import BindError
from server.logs import configure
from server.settings import Settings, SettingsError

FAILED, MISUSED = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program's name; None for the process's own.

    Returns:
        The exit code: 0, 1 where the command failed, 2 where it was misused. What went wrong is one line on
        standard error.
    """
    given = vars(_parser().parse_args(arguments))
    command: Callable[[Settings], Coroutine[Any, Any, None]] = given.pop("command")
    try:
        read = settings.load(**{name: value for name, value in given.items() if value is not None})
    except SettingsError as error:
        return _fail(error, MISUSED)
    configure(read.log_level, json=None if read.log_format == "auto" else read.log_format == "json")
    try:
        uvloop.run(command(read))
    except (BindError, DeclarationError, SchemaError) as error:
        return _fail(error, FAILED)
    except (SQLAlchemyError, OSError) as error:
        return _fail(f"{_cause(error)} ({read.url.render_as_string()})", FAILED)
    return 0


async def _serve(read: Settings) -> None:
    await serve_until_told(read)


async def _migrate(read: Settings) -> None:
    # Two connections: one holds the migrators' lock while the other migrates.
    database = open_database(read.model_copy(update={"pool_size": 2}))
    try:
        schema = await upgrade(database.engine)
    finally:
        await database.close()
    structlog.get_logger().info("migrated", database=read.url.render_as_string(), revision=schema.current)


async def _check(read: Settings) -> None:
    rpcs = bind(RESOURCES, PageTokens(b""))
    database = open_database(read)
    try:
        await require_head(database.engine)
    finally:
        await database.close()
    _print(f"{len(rpcs)} RPCs are served; the schema is current")


async def _routes(_: Settings) -> None:
    rpcs = bind(RESOURCES, PageTokens(b""))
    rows = [("RPC", "SERVED BY", "TABLE"), *((rpc.path, rpc.served_by, rpc.table) for rpc in rpcs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tablestakes", description="Protobuf-defined CRUD over SQLAlchemy.")
    parser.add_argument("--version", action="version", version=f"tablestakes {version('tablestakes')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, meaning in (
        ("serve", _serve, "serve until SIGTERM; SQLite is migrated first, PostgreSQL must have been"),
        ("migrate", _migrate, "bring the database's schema to this version"),
        ("routes", _routes, "print each RPC, what serves it, and the table behind it"),
        ("check", _check, "verify the declarations and the database's schema, and serve nothing"),
    ):
        command = commands.add_parser(
            name,
            help=meaning,
            description=f"{meaning[0].upper()}{meaning[1:]}.",
            epilog=f"settings, by flag or environment variable:\n\n{settings.table()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"tablestakes {name} [SETTINGS]",
            # An abbreviation would mean something else once a setting is added.
            allow_abbrev=False,
        )
        command.set_defaults(command=function)
        for setting in Settings.model_fields:
            command.add_argument(settings.flag(setting), dest=setting, metavar="VALUE", help=argparse.SUPPRESS)
    return parser


def _cause(error: SQLAlchemyError | OSError) -> str:
    """Return what a failure comes down to, in one line: SQLAlchemy's own text is several."""
    original = getattr(error, "orig", None) or error
    kind = diagnose(error)
    return f"{kind.kind.name.lower() if kind else 'failed'}: {str(original).partition(chr(10))[0]}"


def _fail(error: object, code: int) -> int:
    print(f"tablestakes: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return code


def _print(line: str) -> None:
    print(line)  # noqa: T201 - a command speaks to its user


if __name__ == "__main__":
    sys.exit(main())
