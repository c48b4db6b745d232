"""Profiles: the dates in them are days of the calendar."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from marketplace.v1 import profile_pb2

from tests.marketplace.client import Market, refused


async def _update(market: Market, user: str, **fields: object) -> profile_pb2.Profile:
    profile = profile_pb2.Profile(name=f"{user}/profile", **fields)  # type: ignore[arg-type]
    mask = FieldMask(paths=["birth_date"])
    return await market.users.UpdateProfile(profile_pb2.UpdateProfileRequest(profile=profile, update_mask=mask))


async def test_a_birth_date_is_kept_and_cleared(market: Market) -> None:
    """A birth date is returned as it was written, and is not set where it was cleared."""
    user = (await market.user()).name
    born = Date(year=1990, month=12, day=31)
    assert (await _update(market, user, birth_date=born)).birth_date == born
    assert not (await _update(market, user)).HasField("birth_date")


@pytest.mark.parametrize("born", [(1990, 2, 31), (1990, 0, 0), (0, 2, 28), (1990, 13, 1), (-1, 1, 1)])
async def test_a_day_that_no_calendar_has_is_refused(market: Market, born: tuple[int, int, int]) -> None:
    """A birth date that is no whole day of the calendar is INVALID_ARGUMENT on its field."""
    user = (await market.user()).name
    year, month, day = born
    told = await refused(_update(market, user, birth_date=Date(year=year, month=month, day=day)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["profile.birth_date"])
