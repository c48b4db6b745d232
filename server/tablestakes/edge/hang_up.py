"""Ending the connections of a server before gRPC does.

A server of gRPC that is told to stop answers CANCELLED to each call that reaches it before the caller has learnt of
the stop (grpc/grpc#41785): a code that says that the caller did it, and that no client repeats. A connection that
ends says UNAVAILABLE to the calls on it. gRPC offers no way to end one, but its sockets are files of this process.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

# The open files of this process, on Linux and on macOS.
FILES = Path("/dev/fd")


def hang_up(port: int, ends: Callable[[str], bool] = lambda _: True, *, most: int | None = None) -> int:
    """End TCP connections that were accepted on a port of this process, those first that were opened last.

    Both sides see an end of the connection, as if the other had closed it; what was sent before still arrives.

    Args:
        port: The port.
        ends: Whether one is ended, given the peer as gRPC names it: `ipv4:127.0.0.1:40000`.
        most: After how many to look no further, None to look at all.

    Returns:
        How many were ended.
    """
    ended = 0
    for connection in _connections(port):
        with contextlib.suppress(OSError), connection:  # it was closed meanwhile
            if ends(peer_of(connection)):
                connection.shutdown(socket.SHUT_RDWR)
                ended += 1
        if ended == most:
            break
    return ended


def peers(port: int) -> list[str]:
    """Return the other sides of the TCP connections that were accepted on a port of this process."""
    found = []
    for connection in _connections(port):
        with contextlib.suppress(OSError), connection:
            found.append(peer_of(connection))
    return found


def _connections(port: int) -> Iterator[socket.socket]:
    """Yield a copy of each connection, which is to be closed."""
    # A new file has a higher number than most.
    for file in sorted((int(each.name) for each in FILES.iterdir()), reverse=True) if FILES.is_dir() else ():
        with contextlib.suppress(OSError):
            connection = _copied(file)
            if connection is None:
                continue
            if _accepted(connection, port):
                yield connection
            else:
                connection.close()


def peer_of(connection: socket.socket) -> str:
    """Return the other side of a connection as gRPC names it."""
    host, port = connection.getpeername()[:2]
    if connection.family == socket.AF_INET:
        return f"ipv4:{host}:{port}"
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return f"ipv4:{mapped}:{port}" if mapped else f"ipv6:%5B{address}%5D:{port}"


def _copied(file: int) -> socket.socket | None:
    """Return a copy of an open file, None if it is no socket.

    The copy stays the same file, while gRPC may close its own and another get the number.
    """
    copy = os.dup(file)
    if stat.S_ISSOCK(os.fstat(copy).st_mode):
        return socket.socket(fileno=copy)
    os.close(copy)
    return None


def _accepted(connection: socket.socket, port: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False  # it listens
    local: int = connection.getsockname()[1]
    return local == port
