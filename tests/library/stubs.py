"""The library's stubs, generated for the life of the process from the protos beside this module."""

import atexit
import sys
import tempfile
from pathlib import Path

from protos.generate import generate

# Kept for the life of the process, and removed with it.
_STUBS = tempfile.TemporaryDirectory(prefix="tablestakes-library-")
atexit.register(_STUBS.cleanup)
generate(Path(__file__).parent / "proto", Path(_STUBS.name))
sys.path.append(_STUBS.name)

from library.v1 import (  # type: ignore[import-not-found] # noqa: E402 - made just above
    library_pb2,
    library_service_pb2,
    library_service_pb2_grpc,
)

__all__ = ["library_pb2", "library_service_pb2", "library_service_pb2_grpc"]
