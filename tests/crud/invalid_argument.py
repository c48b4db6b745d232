"""INVALID_ARGUMENT on one path, as the tests of the engine expect it before anything goes over a wire."""

from collections.abc import Callable

import pytest
from grpc import StatusCode

from tablestakes.errors import StatusError


def rejected(path: str, call: Callable[..., object], *arguments: object) -> StatusError:
    """Return the error of a call that must be INVALID_ARGUMENT on one path and nothing else."""
    with pytest.raises(StatusError) as caught:
        call(*arguments)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in caught.value.violations] == [path]
    return caught.value
