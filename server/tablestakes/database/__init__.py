"""The engine and its connections, the particulars of each database, and the schema's migrations."""

from tablestakes.database.engine import Database, open_database
from tablestakes.database.fault import Fault, FaultKind, diagnose

__all__ = ["Database", "Fault", "FaultKind", "diagnose", "open_database"]
