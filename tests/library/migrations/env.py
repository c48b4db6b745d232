"""Alembic's environment: all of it is the engine's."""

from tests.library.service import SERVICE

SERVICE.run_migrations()
