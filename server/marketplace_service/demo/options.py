"""The options of the demo, each a flag."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tablestakes import CommandError
from tablestakes.settings import Address, Settings, SettingsError, default, flag


class DemoError(CommandError):
    """The demo cannot go on; the message is one line that says why."""


class Options(BaseModel):
    """The options of a demo."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    users: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        100, description="How many users there are to be; how much of everything else follows from it."
    )
    target: Address = Field(Settings.model_fields["listen"].default, description="Where the server listens.")
    seed: Annotated[int, Field(ge=0)] = Field(
        1, description="The same seed gives the same data, another one other."
    )
    concurrency: Annotated[int, Field(ge=1, le=100)] = Field(16, description="How many calls to have under way.")


def load(**given: Any) -> Options:
    """Read the options from flags.

    Args:
        given: Values of flags by option, as strings or as their types.

    Raises:
        SettingsError: A value is bad; the message names its flag and says why, in one line.
    """
    try:
        return Options(**given)
    except ValidationError as error:
        name, problem = error.errors()[0]["loc"][0], error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{flag(str(name))}: {problem}") from None


def table() -> str:
    """Return every option with its flag, default and meaning, for a terminal."""
    return "\n".join(
        f"  {flag(name)}\n      {field.description} Default: {default(field)}"
        for name, field in Options.model_fields.items()
    )
