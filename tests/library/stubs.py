"""The library's stubs, generated for the life of the process from the protos beside this module."""

import atexit
import sys
import tempfile
from pathlib import Path

from tablestakes.stubs import generate

# Kept for the life of the process, and removed with it.
_STUBS = tempfile.TemporaryDirectory(prefix="tablestakes-library-")
atexit.register(_STUBS.cleanup)
# This repository's compiler is kept apart; elsewhere the installed one is used.
_COMPILER = Path(sys.prefix) / "protoc"
_PROTOS = Path(__file__).parent / "proto"
generate(_PROTOS, Path(_STUBS.name), compiler=_COMPILER if _COMPILER.is_dir() else None)
sys.path.append(_STUBS.name)

from library.v1 import (  # type: ignore[import-not-found] # noqa: E402 - made just above
    library_pb2,
    library_service_pb2,
    library_service_pb2_grpc,
)

__all__ = ["library_pb2", "library_service_pb2", "library_service_pb2_grpc"]
