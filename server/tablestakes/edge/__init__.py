"""The gRPC boundary: what is wrapped around every handler, once, at start.

From the outside in: `observe` counts, times and traces, `answer` turns what is raised into a status, `decode`
parses and validates, `deadline` bounds. Inside is the function that serves the RPC and knows none of it.
"""

from tablestakes.edge.health import Health
from tablestakes.edge.listen import BindError, listen
from tablestakes.edge.work import Work
from tablestakes.edge.wrap import wrap

__all__ = ["BindError", "Health", "Work", "listen", "wrap"]
