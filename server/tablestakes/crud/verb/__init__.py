"""The standard methods, one a file."""

from tablestakes.crud.verb.batch_create import BATCH_CREATE
from tablestakes.crud.verb.batch_delete import BATCH_DELETE
from tablestakes.crud.verb.batch_get import BATCH_GET
from tablestakes.crud.verb.batch_update import BATCH_UPDATE
from tablestakes.crud.verb.create import CREATE
from tablestakes.crud.verb.delete import DELETE
from tablestakes.crud.verb.export import EXPORT
from tablestakes.crud.verb.get import GET
from tablestakes.crud.verb.list import LIST
from tablestakes.crud.verb.purge import PURGE
from tablestakes.crud.verb.undelete import UNDELETE
from tablestakes.crud.verb.update import UPDATE
from tablestakes.crud.verb.verb import Verb

VERBS: tuple[Verb, ...] = (
    GET,
    BATCH_GET,
    LIST,
    EXPORT,
    CREATE,
    BATCH_CREATE,
    UPDATE,
    BATCH_UPDATE,
    DELETE,
    BATCH_DELETE,
    UNDELETE,
    PURGE,
)

__all__ = ["VERBS", "Verb"]
