"""The real side: servers on loopback whose every step waits for a gate, and pools of a library."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.listener import ServerLoop
from support.network import Certificates
from support.script import Gate

_TURNS = 10
PATIENCE = 5.0
"""Seconds after which what should come true is taken for a violation."""


class Origin(HTTP1Server):
    """A server that can hold set-ups, and close one connection of its own accord."""

    gate_of_setups: Gate | None = None

    @property
    def holds_setups(self) -> bool:
        """Whether a client that connects now stays in its TLS handshake."""
        return self.gate_of_setups is not None

    def hold_setups(self) -> None:
        """Let no handshake begin until `let_setups_go`."""
        self.setup_after = self.gate_of_setups = self.gate()

    def let_setups_go(self) -> None:
        """Answer those handshakes that wait, and all further ones at once."""
        if self.gate_of_setups is not None:
            self.gate_of_setups.open()
        self.setup_after, self.gate_of_setups = 0.0, None

    def connection_of(self, path: str) -> int | None:
        """The number of the connection that a path was asked for on; None where it was not."""
        return next((m.connection for m in self.timeline.all("request", path)), None)

    def is_reused(self, number: int | None) -> bool:
        """Whether more than one request came on this connection."""
        return sum(m.connection == number for m in self.timeline.all("request")) > 1

    @property
    def used_connections(self) -> set[int]:
        """The connections that a request ever came on."""
        return {m.connection for m in self.timeline.all("request")}

    def number_of(self, address: tuple[str, int]) -> int:
        """The number of the open connection whose other side has this address."""
        return next(
            number
            for number, writer in self._writers.items()
            if writer.get_extra_info("peername") == address
        )

    def drop(self, number: int, *, reset: bool = False) -> None:
        """Close one connection, with a RST if asked."""

        async def close_one() -> None:
            self._close(number, reset=reset)

        self._servers.call(close_one())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all examples of a run share."""

    servers: ServerLoop
    server_context: ssl.SSLContext
    client_context: ssl.SSLContext

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Surroundings]:
        """A loop for the servers until the block ends."""
        certificates = Certificates.make()
        servers = ServerLoop()
        # What is there already is none of the examples': the collector, which they call often,
        # need not look at it each time.
        gc.collect()
        gc.freeze()
        # Only they say when it comes: else an example would not run the same way twice.
        gc.disable()
        try:
            yield cls(servers, certificates.server(), certificates.client())
        finally:
            gc.enable()
            gc.unfreeze()
            servers.stop()


class LivePool:
    """A pool of httpcore or httpcore2, with what the library itself says of it."""

    def __init__(self, under_test: PoolUnderTest, maximum: int, kept: int | None) -> None:
        self.under_test = under_test
        self.maximum = maximum
        self.kept = kept
        self.tracked = False
        """Whether the package follows it, by the model."""
        self.is_closed = False
        self.expired: weakref.WeakSet[Any] = weakref.WeakSet()
        """Connections whose keep-alive was let run out."""
        self.left_by_peer: weakref.WeakSet[Any] = weakref.WeakSet()
        """Idle connections that the server has closed."""

    @property
    def raw(self) -> Any:
        """The library's pool."""
        return self.under_test.raw

    def waiting(self) -> dict[str, bool | None]:
        """By path, whether a request that the library has stands in its queue.

        None where it is about to be assigned a connection, or to queue.
        """
        return {
            request.request.url.target.decode(): _stands(request)
            for request in list(self.raw._requests)
        }

    def states(self) -> Counter[str]:
        """Its connections by what they say themselves they are, in their public ``info()``."""
        return Counter(state_of(connection) for connection in list(self.raw._connections))

    @property
    def busy(self) -> int:
        """Connections that are connecting or active."""
        states = self.states()
        return states["connecting"] + states["active"]

    @property
    def is_full(self) -> bool:
        """Whether a further request has to wait."""
        return self.busy >= self.maximum

    @property
    def has_room(self) -> bool:
        """Whether a further request gets a connection at once."""
        return not self.is_full and not any(self.waiting().values())

    def idle(self) -> list[Any]:
        """Its idle connections."""
        return [c for c in list(self.raw._connections) if state_of(c) == "idle"]

    def expire(self) -> None:
        """Let the keep-alive of all idle connections run out.

        The time is moved instead of being waited for: a pool with a short keep-alive would expire
        at another step in each run. The contract suite has the real thing.
        """
        for connection in self.idle():
            connection._connection._expire_at = time.monotonic() - 1
            self.expired.add(connection)

    def reason_for(self, connection: Any) -> frozenset[str]:
        """Why the pool may close an idle connection that it has now."""
        if connection in self.expired:
            return frozenset({"keepalive_expired"})
        if connection in self.left_by_peer:
            return frozenset({"server_disconnect"})
        if self.kept is None or self.kept >= self.maximum:
            return frozenset({"evicted"})
        return frozenset({"evicted", "keepalive_limit"})

    def close(self) -> None:
        """Close it, as often as asked: it serves again afterwards."""
        self.under_test._close()
        self.is_closed = True

    def objects(self) -> list[Any]:
        """What of it must not outlive it."""
        pool = self.raw
        found = [pool, *pool._connections, *pool._requests]
        found += [c._connection for c in pool._connections if c._connection is not None]
        return found


def _stands(request: Any) -> bool | None:
    if not request.is_queued():
        return False
    acquired = request._connection_acquired
    event = getattr(acquired, "_anyio_event", None)
    if event is not None:
        return event.statistics().tasks_waiting > 0 or None
    event = getattr(acquired, "_event", None)
    return (event is not None and len(event._cond._waiters) > 0) or None


def state_of(connection: Any) -> str:
    """``connecting``, ``active``, ``idle`` or ``over``, by the connection's own words."""
    words = connection.info()
    if "CLOSED" in words or "FAILED" in words:
        return "over"
    if "IDLE" in words:
        return "idle"
    return "connecting" if "CONNECTING" in words else "active"


class World:
    """The servers and pools of one example."""

    def __init__(self, surroundings: Surroundings, library: str, mode: str) -> None:
        self.surroundings = surroundings
        self.library = Library.load(library)
        self.is_async = mode != "sync"
        self._stack = contextlib.ExitStack()
        self.runner = self._stack.enter_context(Runner.start(mode))
        secure = Origin(surroundings.servers, tls=surroundings.server_context)
        self.origins = [Origin(surroundings.servers), Origin(surroundings.servers), secure]
        self.secure = secure
        # Bound and not listening: connecting is refused, and nobody else gets the port.
        self._nobody = socket.socket()
        self._nobody.bind(("127.0.0.1", 0))
        self.refused_port = int(self._nobody.getsockname()[1])
        self.pools: list[LivePool] = []

    def open_pool(self, maximum: int, kept: int | None) -> LivePool:
        """One more pool."""
        pool = LivePool(
            self.library.pool(
                self.runner,
                max_connections=maximum,
                max_keepalive_connections=kept,
                keepalive_expiry=60.0,
                ssl_context=self.surroundings.client_context,
            ),
            maximum,
            kept,
        )
        self.pools.append(pool)
        return pool

    def let_loop_run(self) -> None:
        """Let what is scheduled on the clients' loop come to its end, as finalizers are."""
        portal = self.runner.portal
        if portal is not None:
            for _ in range(_TURNS):
                portal.call(asyncio.sleep, 0)

    def forget_pool(self, pool: LivePool) -> None:
        """Drop the last reference to it."""
        self.pools.remove(pool)
        pool.under_test.forget()

    def let_everything_go(self) -> None:
        """Hold no client back any more, for an example that has failed."""
        self.secure.let_setups_go()
        for origin in self.origins:
            origin.hang_up(reset=True)

    def close(self) -> None:
        """Stop the servers and the runner."""
        for origin in self.origins:
            origin.close()
        self._nobody.close()
        for pool in list(self.pools):
            self.forget_pool(pool)
        self._stack.close()
