"""Connections that switch to another protocol: only a WebSocket is reported as one."""

import asyncio

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.listener import Listener
from support.waiting import until, wait_until

PROTOCOLS = ("protocol", "version", "state")
WEBSOCKET, HTTP = ("websocket", None, "active"), (None, "1.1", "active")


class Switching(Listener):
    """Switches to the requested protocol, then waits until the client closes."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        asked = next(line for line in head.split("\r\n") if line.lower().startswith("upgrade:"))
        answer = f"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{asked}\r\n\r\n"
        writer.write(answer.encode())
        await reader.read()
        self.timeline.record("peer_closed", number)


def asking_for(protocol: str) -> tuple[tuple[str, str], ...]:
    """Headers of a request to switch to another protocol."""
    return (("Connection", "Upgrade"), ("Upgrade", protocol))


def protocols() -> list[str]:
    """Protocols of the connections in the snapshot."""
    return [connection.protocol for pool in snapshot().pools for connection in pool.connections]


def test_upgrade_to_another_protocol_is_not_a_websocket(pool, listen, telemetry):
    """An unknown protocol keeps the name of the original one."""
    exchange = pool.send(listen(Switching).url(), headers=asking_for("tcp"))
    assert exchange.head() == 101
    assert telemetry.by(semconv.OPEN_CONNECTIONS, *PROTOCOLS) == {HTTP: 1}
    assert protocols() == ["1.1"]
    exchange.close()


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("who", ["client", "reader", "server"])
def test_closing_a_websocket_during_a_read_is_no_failure(who, runner, library, listen, telemetry):
    """A local close ends the read without an error; a reset is an error.

    httpx-ws cancels its reading task, then closes the stream.
    """
    server = listen(Switching)
    client = runner.client(library).raw
    portal = runner.portal

    async def open_and_end() -> None:
        headers = asking_for("websocket")
        async with client.stream("GET", server.url(), headers=headers) as response:
            network = response.extensions["network_stream"]
            read = asyncio.ensure_future(network.read(1))
            await until(lambda: telemetry.current("reading") == 1)
            if who == "client":
                await network.aclose()
            elif who == "reader":
                read.cancel()
            else:
                await asyncio.to_thread(server.hang_up, reset=True)
            cancelled = asyncio.CancelledError
            with pytest.raises(cancelled if who == "reader" else library.core.ReadError):
                await read

    portal.call(open_and_end)
    error = "read_error" if who == "server" else None
    outcomes = telemetry.requests()
    assert outcomes == {(101, error): 1}
    wait_until(lambda: not telemetry.by(semconv.OPEN_CONNECTIONS, *PROTOCOLS))
