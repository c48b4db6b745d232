"""The door through which calls come in: a drain shuts it, and waits until those inside have left."""

import asyncio

from grpc import StatusCode

from tablestakes.edge.handler import Context
from tablestakes.errors import RETRY_DELAY, StatusError


class Door:
    """Counts the calls that have begun and are not yet answered, and refuses others once it is shut.

    Attributes:
        closed: Set once it is shut: streams are to end.
    """

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._inside = 0
        self._empty = asyncio.Event()

    def enter(self, context: Context) -> None:
        """Let a call in.

        Raises:
            StatusError: UNAVAILABLE, the door is shut. Nothing was begun, so the caller may call again.
        """
        if self.closed.is_set():
            raise StatusError(
                StatusCode.UNAVAILABLE,
                "DRAINING",
                "The service is about to end; this call was not begun.",
                retry_delay=RETRY_DELAY,
            )
        self.count(context)

    def count(self, context: Context) -> None:
        """Count a call as inside, also one that comes to a shut door: a stream, which then ends by itself."""
        self._inside += 1
        # Called once the answer is sent, and not as soon as it is made.
        context.add_done_callback(self._left)  # type: ignore[arg-type] # the stubs leave out its argument

    def shut(self) -> None:
        """Refuse every call from now on, and end the streams, for good."""
        self.closed.set()
        self._tell()

    async def emptied(self, seconds: float) -> bool:
        """Wait until every call that came in has left, once the door is shut.

        Args:
            seconds: How long to wait at most.

        Returns:
            Whether all of them have left.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _left(self, _: Context) -> None:
        self._inside -= 1
        self._tell()

    def _tell(self) -> None:
        if self.closed.is_set() and not self._inside:
            self._empty.set()
