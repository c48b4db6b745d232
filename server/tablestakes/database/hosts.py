"""The hosts of a PostgreSQL URL: each is given a timeout of its own, so that one that hangs hides no other."""

from typing import Any

import asyncpg

# After these another host may do better.
NEXT = (
    OSError,  # and with it a TimeoutError
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)


class Hosts:
    """Connects to the first host of a URL that answers and has the attributes that the URL asks for.

    The host that did so last is asked first: after a failover new connections do not wait for the old primary,
    which may accept them and never answer.
    """

    def __init__(self) -> None:
        self._last = 0

    async def connect(
        self,
        *,
        host: str | list[str] | None = None,
        port: int | list[int] | None = None,
        target_session_attrs: str | None = None,
        **options: Any,
    ) -> asyncpg.Connection:
        """Return a connection; SQLAlchemy's `async_creator_fn`.

        Args:
            host: The hosts.
            port: The port of each, or one for all.
            target_session_attrs: What the session must be like: libpq's option of this name.
            options: The other options of `asyncpg.connect`; `timeout` is each host's.

        Raises:
            OSError: No host answered, or none has the attributes.
            asyncpg.PostgresError: A host refused the connection.
        """
        hosts = host if isinstance(host, list) else [host]
        ports = port if isinstance(port, list) else [port] * len(hosts)
        # First any standby and then anybody: alone a host cannot tell whether there is a better one.
        wanted = ["standby", "any"] if target_session_attrs == "prefer-standby" else [target_session_attrs]
        failure: Exception | None = None
        for attributes in wanted:
            for index in range(self._last, self._last + len(hosts)):
                at = index % len(hosts)
                try:
                    found = await asyncpg.connect(
                        host=hosts[at], port=ports[at], target_session_attrs=attributes, **options
                    )
                except NEXT as error:
                    # A server's own words tell more than that another one did not answer.
                    failure = failure if isinstance(failure, asyncpg.PostgresError) else error
                else:
                    self._last = at
                    return found
        if isinstance(failure, TimeoutError):
            # Nothing was begun, which a timeout of a statement would leave open.
            raise ConnectionError("connecting took too long") from None
        if isinstance(failure, asyncpg.TargetServerAttributeNotMatched):
            raise ConnectionError(f"no host is {target_session_attrs}") from None
        assert failure is not None  # noqa: S101 - there is a host
        raise failure
