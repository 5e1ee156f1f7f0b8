"""Answers HTTP/1.1 on several ports, now at once, now a little later, until its stdin ends.

In a process of its own: the requests' threads are to compete with each other alone. Argument: how
many ports; it prints them.
"""

from __future__ import annotations

import asyncio
import random
import sys

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"
HEAD_AFTER = (0.0, 0.0, 0.001, 0.003)
REST_AFTER = (0.0, 0.0, 0.001)
dice = random.Random(1110)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            if delay := dice.choice(HEAD_AFTER):
                await asyncio.sleep(delay)
            writer.write(HEAD)
            for part in (b"0123456789", b"0123456789"):
                if delay := dice.choice(REST_AFTER):
                    await asyncio.sleep(delay)
                writer.write(part)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve."""
    servers = [
        await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
        for _ in range(int(sys.argv[1]))
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
