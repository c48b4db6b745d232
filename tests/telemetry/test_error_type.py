"""Failures are counted under names that say what went wrong, in whatever way the driver says it."""

import asyncio
import sqlite3

import pytest

from tablestakes.telemetry.engine.failure import error_type


class Failed(Exception):  # noqa: N818 - named as a driver would name it
    """An error of a driver that tells its code in one attribute."""

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
    """A code the driver gives comes first, and the class where there is none."""
    assert error_type(error) == expected
