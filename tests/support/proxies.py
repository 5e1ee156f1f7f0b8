"""Small proxies: HTTP forward and CONNECT in one, and SOCKS5."""

import asyncio
from urllib.parse import urlsplit

from .listener import Listener
from .script import Delay, pause


class Proxy(Listener):
    """Relays connections. ``tunnel_after`` delays the answer to CONNECT or to a SOCKS request."""

    tunnel_after: Delay = 0.0
    refuses = False
    """Whether every request for a tunnel is answered with an error."""


class HTTPProxy(Proxy):
    """Forwards ``http`` requests by their absolute URL, and tunnels with CONNECT.

    A forwarding connection sticks to the upstream of its first request, which is all that a client
    with a connection per origin can notice.
    """

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Read one request head, then relay."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        if method == "CONNECT":
            self.timeline.record("connect", number, target)
            await pause(self.tunnel_after)
            if self.refuses:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = target.rpartition(":")
            established = b"HTTP/1.1 200 Connection established\r\n\r\n"
            await self._relay(host, int(port), reader, writer, answer=established)
        else:
            url = urlsplit(target)
            self.timeline.record("forward", number, url.path)
            assert url.hostname is not None
            await self._relay(url.hostname, url.port or 80, reader, writer, first=head)


class SOCKSProxy(Proxy):
    """SOCKS5 (RFC 1928) without authentication: CONNECT to an IPv4 address or a name."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Negotiate, then relay."""
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(str(part) for part in await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.timeline.record("socks", number, f"{host}:{port}")
        await pause(self.tunnel_after)
        status = b"\x02" if self.refuses else b"\x00"
        answer = b"\x05" + status + b"\x00\x01\x00\x00\x00\x00\x00\x00"
        if self.refuses:
            writer.write(answer)
            return
        await self._relay(host, port, reader, writer, answer=answer)
