"""The calls that are answered with a stream: how many there may be, and that they end when the server does."""

from grpc import StatusCode

from tablestakes.errors import RETRY_DELAY, StatusError


class Streams:
    """Counts the streams, each of which holds a connection to the database for as long as it takes.

    Args:
        most: How many there may be at once.
        longest: The seconds that one may take, whatever deadline its caller set.
    """

    def __init__(self, most: int, longest: float) -> None:
        self._most = most
        self._open = 0
        self._ending = False
        self.longest = longest

    def enter(self) -> None:
        """Let a stream in.

        Raises:
            StatusError: UNAVAILABLE, there are as many as there may be.
        """
        if self._open >= self._most:
            raise StatusError(
                StatusCode.UNAVAILABLE,
                "TOO_MANY_STREAMS",
                f"The service streams to {self._most} callers, and to no more at once; this call was not begun.",
                metadata={"limit": str(self._most)},
                retry_delay=RETRY_DELAY,
            )
        self._open += 1

    def leave(self) -> None:
        """Note that a stream has ended, and given its connection back."""
        self._open -= 1

    def go_on(self) -> None:
        """Let a stream send another response.

        Raises:
            StatusError: UNAVAILABLE, the server is about to end.
        """
        if self._ending:
            raise StatusError(
                StatusCode.UNAVAILABLE,
                "DRAINING",
                "The service is about to end; call again with the last next_page_token.",
                retry_delay=RETRY_DELAY,
            )

    def end(self) -> None:
        """End every stream before its next response."""
        self._ending = True
