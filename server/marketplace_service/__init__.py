"""The marketplace: users, posts, comments, tags, products, orders and wallets. It comes with the engine."""

from importlib.metadata import version
from pathlib import Path

from marketplace_service.api import RESOURCES
from marketplace_service.demo import DEMO
from marketplace_service.models import Base
from marketplace_service.reasons import REASONS
from tablestakes import NEW, Service

_HERE = Path(__file__).resolve().parent

SERVICE = Service(
    name="tablestakes",
    version=version("tablestakes"),
    resources=RESOURCES,
    metadata=Base.metadata,
    # Installed, the migrations are in the package; in a checkout they are at its top.
    migrations=_HERE / "alembic" if (_HERE / "alembic").is_dir() else _HERE.parents[1] / "alembic",
    commands=(DEMO, NEW),
    reasons=REASONS,
)
