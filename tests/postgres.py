"""A real PostgreSQL for the tests: the one of the engine's own test fixtures."""

from tablestakes.testing.postgres import PACKAGE, Postgres, free_port, postgres

__all__ = ["PACKAGE", "Postgres", "free_port", "postgres"]
