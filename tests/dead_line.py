"""A proxy that can go dead as a pulled cable does: nothing passes any more, and nothing is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Line:
    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.dead = False
        self.port = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            try:
                await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))
            finally:
                writer.close()
                there_writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.dead:
                writer.write(data)
        if not self.dead:
            writer.close()


@asynccontextmanager
async def line(host: str) -> AsyncIterator[Line]:
    """To `host` ("address:port"), through a port of the loopback."""
    address, port = host.split(":")
    carrier = Line((address, int(port)))
    server = await asyncio.start_server(carrier.carry, "127.0.0.1", 0)
    carrier.port = server.sockets[0].getsockname()[1]
    try:
        yield carrier
    finally:
        server.close()
