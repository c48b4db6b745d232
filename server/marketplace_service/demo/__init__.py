"""The demo: a client that fills a running server, and knows nothing of it but the contract."""

from typing import Any

import uvloop

from marketplace_service.demo.command import run
from marketplace_service.demo.options import Options, load, table
from tablestakes import Command


def _run(given: dict[str, Any]) -> None:
    uvloop.run(run(load(**given)))


DEMO = Command(
    name="demo",
    meaning="fill a running server with believable data, through its API; twice adds nothing",
    run=_run,
    flags=list(Options.model_fields),
    takes="[OPTIONS]",
    epilog=f"options:\n\n{table()}",
)
