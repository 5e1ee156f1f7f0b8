"""The listening side: connections within their bounds, and the bodies that they hold together."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Callable, Coroutine

import h11
from google.protobuf.message import Message

from .connection import Connection
from .decoding import decode
from .intake import Intake, Rejected
from .limits import CONNECTIONS, HELD_BYTES, LINGERING
from .notes import Notes
from .refusal import RefusedError
from .routes import Route

_BACKLOG = 128
_AT_A_STRETCH = 0.05
"""Seconds."""


class Receiver:
    """An OTLP/HTTP receiver on one address."""

    def __init__(self, intake: Intake, notes: Notes) -> None:
        self.notes = notes
        self._intake = intake
        self._server: asyncio.Server | None = None
        self._serving: dict[Connection, asyncio.Task[None]] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        self._held = 0
        self._decoding = asyncio.Lock()
        self.host = ""
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=_BACKLOG)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Close everything at once."""
        if self._server is not None:
            self._server.close()
        tasks = [*self._serving.values(), *self._refusing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """What a program on this machine sets as its endpoint."""
        address = ipaddress.ip_address(self.host.partition("%")[0])
        host = self.host
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines can reach it."""
        sockets = self._server.sockets if self._server is not None else ()
        hosts = [str(socket.getsockname()[0]).partition("%")[0] for socket in sockets]
        return not all(ipaddress.ip_address(host).is_loopback for host in hosts)

    async def take(self, route: Route, body: bytes) -> Rejected:
        """Decode one body at a time, apart from the loop, and take it in. Raises RefusedError."""
        self.hold(len(body))
        try:
            async with self._decoding:
                request = await _apart(lambda: decode(route.signal, route.encoding, body))
                rejected = await self._taken(request)
            if rejected.number:
                self.notes.rejected(rejected.number, rejected.reason)
            return rejected
        finally:
            self.release(len(body))

    async def _taken(self, request: Message) -> Rejected:
        """Taken in, with pauses in which the loop serves others and the screen is drawn."""
        rejected = Rejected()
        loop = asyncio.get_running_loop()
        until = loop.time() + _AT_A_STRETCH
        for _ in self._intake.steps(request, rejected):
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + _AT_A_STRETCH
        return rejected

    def hold(self, number: int) -> None:
        """Count bytes that a connection holds. Raises RefusedError when there are too many."""
        self._held += number
        if self._held > HELD_BYTES:
            self._held -= number
            raise RefusedError(503, "too much is being received at once, try again later")

    def release(self, number: int) -> None:
        self._held -= number

    def tell_refusal(self, error: RefusedError, request: h11.Request | None) -> None:
        method = request.method.decode("ascii", "replace") if request else ""
        # Without the query, in which some put a key, nor where it was asked as a proxy.
        target = request.target.decode("ascii", "replace").partition("?")[0] if request else ""
        path = target if target.startswith("/") else ""
        self.notes.refused(error.status, method, path, error.message)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self)
        task = asyncio.current_task()
        assert task is not None
        if len(self._serving) < CONNECTIONS or self._close_idle():
            self._serving[connection] = task
            await self._run(connection, connection.serve())
        elif len(self._refusing) < LINGERING:
            self._refusing.add(task)
            self.notes.refused(503, "", "", f"more than {CONNECTIONS} connections at once")
            await self._run(connection, connection.refuse())
        else:
            connection.close()

    async def _run(self, connection: Connection, course: Coroutine[None, None, None]) -> None:
        """To its end, whatever the client does: it may leave or stop reading at any time."""
        task = asyncio.current_task()
        try:
            await course
        except (OSError, TimeoutError):
            connection.close()
        except Exception as error:  # ours, and no reason to stop watching
            self.notes.broken(f"{type(error).__name__}: {error}")
            connection.close()
        finally:
            self._serving.pop(connection, None)
            if task is not None:
                self._refusing.discard(task)
            connection.end()

    def _close_idle(self) -> bool:
        """Make room: close the connection that has been without a request for longest."""
        idle = next((connection for connection in self._serving if connection.idle), None)
        if idle is None:
            return False
        del self._serving[idle]
        idle.close()
        return True


async def _apart(work: Callable[[], Message]) -> Message:
    """Do the work in a thread that nobody waits for at the end, unlike `asyncio.to_thread`'s."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Message] = loop.create_future()

    def tell(result: Message | None, error: Exception | None) -> None:
        if done.done():  # cancelled
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result = failure = None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="gluellm-watch-decode", daemon=True).start()
    return await done
