"""The standard methods, one a file."""

from tablestakes.crud.verb.create import CREATE
from tablestakes.crud.verb.delete import DELETE
from tablestakes.crud.verb.get import GET
from tablestakes.crud.verb.list import LIST
from tablestakes.crud.verb.update import UPDATE
from tablestakes.crud.verb.verb import Verb

VERBS: tuple[Verb, ...] = (GET, LIST, CREATE, UPDATE, DELETE)

__all__ = ["VERBS", "Verb"]
