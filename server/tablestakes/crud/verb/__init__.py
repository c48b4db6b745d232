"""The standard methods, one a file."""

from tablestakes.crud.verb.batch_get import BATCH_GET
from tablestakes.crud.verb.create import CREATE
from tablestakes.crud.verb.delete import DELETE
from tablestakes.crud.verb.export import EXPORT
from tablestakes.crud.verb.get import GET
from tablestakes.crud.verb.list import LIST
from tablestakes.crud.verb.update import UPDATE
from tablestakes.crud.verb.verb import Verb

VERBS: tuple[Verb, ...] = (GET, BATCH_GET, LIST, EXPORT, CREATE, UPDATE, DELETE)

__all__ = ["VERBS", "Verb"]
