"""The engine and its connections, what is particular to each database, and the schema's migrations."""

from tablestakes.database.engine import Database, open_database, open_explaining
from tablestakes.database.fault import Fault, FaultKind, diagnose

__all__ = ["Database", "Fault", "FaultKind", "diagnose", "open_database", "open_explaining"]
