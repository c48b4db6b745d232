"""A name server, as a cluster has it for a headless Service: its one name has the addresses of the ready pods."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

# RFC 1035: an answer to a standard query, with authority; the type A in the class IN; a pointer to the question.
ANSWER, IPV4, POINTER = 0x8580, (1, 1), 0xC00C
HEADER = struct.Struct("!6H")
RECORD = struct.Struct("!3HIH4s")


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with the addresses that there are at the moment.

    Attributes:
        addresses: The addresses.
    """

    def __init__(self) -> None:
        self.addresses: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket, to answer on it."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        number, _, questions, *_ = HEADER.unpack_from(data)
        end = HEADER.size
        while data[end]:
            end += data[end] + 1
        question = data[HEADER.size : end + 5]
        asked = struct.unpack("!2H", question[-4:])
        addresses = sorted(self.addresses) if asked == IPV4 else []
        answers = [
            RECORD.pack(POINTER, *IPV4, 0, 4, ipaddress.IPv4Address(address).packed) for address in addresses
        ]
        header = HEADER.pack(number, ANSWER, questions, len(answers), 0, 0)
        self._transport.sendto(header + question + b"".join(answers), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, int]]:
    """Run a name server, and yield it with its port on 127.0.0.1."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
