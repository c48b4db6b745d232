"""Tablestakes: protobuf-defined CRUD over SQLAlchemy, served by grpc.aio, seen by Prometheus."""

import os

# gRPC's core writes lines of its own form to standard error, past every logger. What a caller of it can act on
# it also raises. It reads this once, when it is first imported, which is after this.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
