"""A server that accepts connections and never reads."""

import asyncio

from .listener import Listener
from .waiting import PATIENCE

MORE_THAN_BUFFERS = 16 * 1024 * 1024
"""Size of a body that exceeds the socket buffers of a loopback connection."""


class DeafServer(Listener):
    """Holds its connections open without reading a byte."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Stop reading, and wait for the end of the test."""
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(PATIENCE)
