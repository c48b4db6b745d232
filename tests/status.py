"""Reading the status of a failed call as a client does: as the engine's own contract suite reads it."""

from tablestakes.testing.status import Refusal, refusal

__all__ = ["Refusal", "refusal"]
