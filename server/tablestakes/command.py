"""A command of a service's command line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class CommandError(Exception):
    """A command failed; the message is one line that says why."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command.

    Attributes:
        name: Its name on the command line.
        meaning: Its effect, as a phrase that begins with a verb.
        run: Runs it, given the values of the flags and arguments that were given, by name. It raises CommandError
            where it fails, and SettingsError for a value that is bad.
        flags: The names of its flags, each of which takes a value.
        arguments: The names of its positional arguments.
        optional: The names of those after them that may be left out.
        takes: The rest of its usage after its name: `OPTIONS`.
        epilog: The rest of its help: its flags, each with its meaning.
    """

    name: str
    meaning: str
    run: Callable[[dict[str, Any]], None]
    flags: Sequence[str] = ()
    arguments: Sequence[str] = ()
    optional: Sequence[str] = ()
    takes: str = ""
    epilog: str = ""
