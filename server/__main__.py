"""The command line: `tablestakes`, or `python -m server`."""

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from marketplace_service import demo
from tablestakes import settings
from marketplace_service.api import RESOURCES
from tablestakes.app import serve_until_told
from tablestakes.crud import DeclarationError, PageTokens, bind
from tablestakes.database import diagnose, open_database
from tablestakes.database.migrate import SchemaError, require_head, upgrade
from marketplace_service.demo import DemoError
from tablestakes.edge import BindError
from tablestakes.logs import configure
from tablestakes.settings import Settings, SettingsError
from tablestakes.telemetry import TracingError, open_tracer

# The last one is what a shell says of a process that ended by SIGINT.
FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program's name; None for the process's own.

    Returns:
        The exit code: 0, 1 where the command failed, 2 where it was misused, 130 where it was interrupted.
        What went wrong is one line on standard error.
    """
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    command: Callable[[dict[str, Any]], None] = given.pop("command")
    try:
        command(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written goes nowhere, without a complaint at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (SettingsError, TracingError) as error:
        return _fail(error, MISUSED)
    except (BindError, DeclarationError, SchemaError, DatabaseError, DemoError) as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return 0


class DatabaseError(Exception):
    """The database failed a command; the message is one line that says how, and which database it is."""


def _with_settings(work: Callable[[Settings], Coroutine[Any, Any, None]], given: dict[str, Any]) -> None:
    """Run a command that has the server's settings."""
    read = settings.load(**given)
    configure(read.log_level, json=None if read.log_format == "auto" else read.log_format == "json")
    try:
        uvloop.run(work(read))
    except BrokenPipeError:
        raise  # nobody reads on: nothing that the database did
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseError(f"{_cause(error)} ({read.url.render_as_string()})") from None


def _demo(given: dict[str, Any]) -> None:
    uvloop.run(demo.run(demo.load(**given)))


async def _serve(read: Settings) -> None:
    await serve_until_told(read, tracer=open_tracer("tablestakes", version("tablestakes")))


async def _migrate(read: Settings) -> None:
    # Two connections: one holds the migrators' lock while the other migrates.
    database = open_database(read.model_copy(update={"pool_size": 2}), patient=True)
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

    def add(name: str, meaning: str, takes: str, epilog: str, flags: Iterable[str]) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name,
            help=meaning,
            description=f"{meaning[0].upper()}{meaning[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"tablestakes {name} [{takes}]",
            # An abbreviation would mean something else once a flag is added.
            allow_abbrev=False,
        )
        for flag in flags:
            command.add_argument(settings.flag(flag), dest=flag, metavar="VALUE", help=argparse.SUPPRESS)
        return command

    for name, function, meaning in (
        ("serve", _serve, "serve until SIGTERM; SQLite is migrated first, PostgreSQL must have been"),
        ("migrate", _migrate, "bring the database's schema to this version"),
        ("routes", _routes, "print each RPC, what serves it, and the table behind it"),
        ("check", _check, "verify the declarations and the database's schema, and serve nothing"),
    ):
        epilog = f"settings, by flag or environment variable:\n\n{settings.table()}"
        command = add(name, meaning, "SETTINGS", epilog, Settings.model_fields)
        command.set_defaults(command=partial(_with_settings, function))
    meaning = "fill a running server with believable data, through its API; twice adds nothing"
    command = add("demo", meaning, "OPTIONS", f"options:\n\n{demo.table()}", demo.Options.model_fields)
    command.set_defaults(command=_demo)
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
