"""The migration that makes birth dates out of texts."""

from datetime import date

from sqlalchemy import Date, String, column, select, table, text

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tests.serving import settings_for

BEFORE = "5b1e0c7a94d2"

KEPT = {"1990-12-31": date(1990, 12, 31), "2000-02-29": date(2000, 2, 29), "0001-01-01": date(1, 1, 1)}
GIVEN_UP = ["1990-02-31", "1900-02-29", "0000-01-01", "1990-04-31", "", "sometime"]


async def test_days_of_the_calendar_are_carried_over(empty_url: str) -> None:
    """Each text that is a day becomes that date, and any other is given up; a downgrade makes texts again."""
    texts = [*KEPT, *GIVEN_UP]
    database = open_database(settings_for(empty_url, pool_size=2))
    await SERVICE.schema.upgrade(database, BEFORE)
    user = text(
        "INSERT INTO users (email, username, full_name, active, create_time, update_time)"
        " VALUES (:name, :name, '', true, '2026-01-01', '2026-01-01') RETURNING id"
    )
    profile = text(
        "INSERT INTO profiles (user_id, bio, website_uri, avatar_uri, birth_date, create_time, update_time)"
        " VALUES (:id, '', '', '', :born, '2026-01-01', '2026-01-01')"
    )
    async with database.engine.begin() as connection:
        for number, born in enumerate(texts):
            made = await connection.scalar(user, {"name": f"user{number}"})
            await connection.execute(profile, {"id": made, "born": born})
    await SERVICE.schema.upgrade(database)
    dates = select(table("profiles", column("birth_date", Date), column("user_id"))).order_by(text("user_id"))
    async with database.engine.connect() as connection:
        found = list(await connection.scalars(dates))
    assert found == [*KEPT.values(), *(None for _ in GIVEN_UP)]
    await SERVICE.schema.downgrade(database, BEFORE)
    kept = select(table("profiles", column("birth_date", String), column("user_id"))).order_by(text("user_id"))
    async with database.engine.connect() as connection:
        assert list(await connection.scalars(kept)) == [*KEPT, *("" for _ in GIVEN_UP)]
    await database.close()
