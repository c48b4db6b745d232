"""Alembic's environment: all of it is the engine's."""

from marketplace_service import SERVICE

SERVICE.run_migrations()
