"""The real side of one life: servers whose every step waits for a gate, and pools of a library."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from studies.load.servers import Origins, server_loop
from support.clients import PoolUnderTest, Runner
from support.libraries import Library
from support.listener import ServerLoop
from support.network import Certificates

_TURNS = 10
PATIENCE = 5.0
"""Seconds after which what should come true is taken for a violation."""


Surroundings = tuple[ServerLoop, Certificates, ssl.SSLContext]
"""What all lives of a run share: a loop for servers, certificates, whom clients trust."""


@contextlib.contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Start them; they end with the block."""
    certificates = Certificates.make()
    with server_loop() as servers:
        # Lives collect garbage often. What is there before them need not be looked at each time,
        # and a collection at any other moment would make two runs differ.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            yield servers, certificates, certificates.client()
        finally:
            gc.enable()
            gc.unfreeze()


class LivePool:
    """A pool of httpcore or httpcore2, and its state by the library's own word."""

    def __init__(self, under_test: PoolUnderTest, maximum: int, kept: int | None) -> None:
        self.under_test = under_test
        self.maximum = maximum
        self.kept = kept
        self.tracked = False
        """Whether the package follows it, by the model."""
        self.is_closed = False
        self.expired: weakref.WeakSet[Any] = weakref.WeakSet()
        """Connections whose keep-alive ran out."""
        self.left_by_peer: weakref.WeakSet[Any] = weakref.WeakSet()
        """Idle connections that the server has closed."""

    @property
    def raw(self) -> Any:
        """The library's pool."""
        return self.under_test.raw

    def waiting(self) -> dict[str, bool | None]:
        """By path, whether a request that the library has is in its queue.

        None while it is about to be assigned a connection, or to queue.
        """
        return {
            request.request.url.target.decode(): _is_waiting(request)
            for request in list(self.raw._requests)
        }

    def states(self) -> Counter[str]:
        """Its connections by state, as their public ``info()`` has it."""
        return Counter(state_of(connection) for connection in list(self.raw._connections))

    @property
    def is_full(self) -> bool:
        """Whether a further request has to wait."""
        states = self.states()
        return states["connecting"] + states["active"] >= self.maximum

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
        """What must not outlive it."""
        pool = self.raw
        inner = [c._connection for c in pool._connections if c._connection is not None]
        return [pool, *pool._connections, *pool._requests, *inner]


def _is_waiting(request: Any) -> bool | None:
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
    """The servers and pools of one life."""

    def __init__(self, surroundings: Surroundings, library: str, mode: str) -> None:
        loop, certificates, self._context = surroundings
        self.library = Library.load(library)
        self.is_async = mode != "sync"
        self._stack = contextlib.ExitStack()
        self.runner = self._stack.enter_context(Runner.start(mode))
        kinds = "plain", "another plain", "held tls", "refused"
        origins = self._stack.enter_context(Origins.start(certificates, *kinds, loop=loop))
        *self.origins, self.refused = origins.by_kind.values()
        self.secure = self.origins[2]
        self.pools: list[LivePool] = []

    def open_pool(self, maximum: int, kept: int | None) -> None:
        """One more pool."""
        under_test = self.library.pool(
            self.runner,
            max_connections=maximum,
            max_keepalive_connections=kept,
            keepalive_expiry=60.0,
            ssl_context=self._context,
        )
        self.pools.append(LivePool(under_test, maximum, kept))

    def let_loop_run(self) -> None:
        """Let what is scheduled on the clients' loop end, as finalizers are."""
        if self.runner.portal is not None:
            for _ in range(_TURNS):
                self.runner.portal.call(asyncio.sleep, 0)

    def forget_pool(self, pool: LivePool) -> None:
        """Drop the last reference to it."""
        self.pools.remove(pool)
        pool.under_test.forget()

    def close(self, *, broken: bool) -> None:
        """Stop the servers and the runner; a life that is broken has clients to be let go."""
        if broken:
            self.secure.release_handshakes()
            for origin in self.origins:
                origin.server.hang_up(reset=True)
        for pool in list(self.pools):
            self.forget_pool(pool)
        self._stack.close()
