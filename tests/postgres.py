"""A real PostgreSQL for the tests: the one of the engine's own test fixtures."""

from tablestakes.testing.postgres import Postgres, free_port, postgres

__all__ = ["Postgres", "free_port", "postgres"]
