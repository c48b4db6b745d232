"""The base of every table of the marketplace."""

from datetime import datetime

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from tablestakes.columns import NAMING_CONVENTION, Audited, FreshIds, Instant


class Base(Audited, FreshIds, DeclarativeBase):
    """A table with its audit columns."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so
