"""The `error_type` of an exception names what went wrong, whichever driver raised it."""

import asyncio
import sqlite3

import pytest

from tablestakes.telemetry.engine.failure import error_type


class Failed(Exception):  # noqa: N818 - named as a driver would name it
    """An error of a driver with its code in one attribute."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("failed")
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Failed(sqlstate="23505"), "23505"),
        (Failed(pgcode="40001"), "40001"),
        (Failed(sqlite_errorname="SQLITE_BUSY"), "SQLITE_BUSY"),
        (Failed(sqlstate=None), "Failed"),
        (Failed(sqlstate=23505), "Failed"),
        (sqlite3.OperationalError("no code"), "OperationalError"),
        (asyncio.CancelledError(), "cancelled"),
        (TimeoutError(), "timeout"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_error_has_one_name(error: BaseException, expected: str) -> None:
    """The name is the code that the driver gives, or else the name of the class."""
    assert error_type(error) == expected
