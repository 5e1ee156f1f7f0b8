"""The pools of a run: random settings, and how many requests each serves at once."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from studies.load.servers import Origin
from support.clients import PoolUnderTest, Runner
from support.libraries import Library

from .sockets import still_there


@dataclass(eq=False, slots=True)
class Pool:
    """A pool under test."""

    under_test: PoolUnderTest
    library: str
    settings: dict[str, Any]
    limit: float
    """Connections that may be in use: of all origins, with urllib3 of each."""
    http2: str | None = None
    """The kind of the origin that an HTTP/2 pool is for."""
    lost: Counter[str] = field(default_factory=Counter)
    """Places that are taken for ever, by origin: urllib3's where a response was only closed."""

    def group(self, origin: Origin) -> str:
        """Whose requests share the limit with those to this origin."""
        return origin.kind if self.library == "urllib3" else "all"

    @property
    def gone_but_listed(self) -> int:
        """Connections that the system has no more, and that the pool has not dropped yet.

        A documented difference: an idle connection counts until its pool drops it. (So does one
        whose response nobody reads, and so nobody knows that it was reset.) Where the peer
        has closed it, the system keeps the socket until the client closes it; where the peer has
        reset it, it does not. aiohttp's loop closes the socket in both cases, and its pool looks
        at it when it needs a connection.
        """
        if self.library == "aiohttp":
            return sum(not idle.protocol.is_connected() for idle in self.under_test.connections)
        return sum(not still_there(sock) for sock in self._sockets())

    @property
    def never_set_up(self) -> int:
        """Connections that are listed, in nobody's hands, and will never be set up.

        httpcore and httpcore2 make one for a request whose wait for a place has timed out at that
        very moment. It takes a place for as long as the pool is there, and so it is reported as one
        that is being set up (and as the anomaly ``orphaned_connection``).
        """
        return sum(
            connection._connection is None and not connection._connect_failed
            for connection in self._of_no_request()
        )

    @property
    def in_nobodys_hands(self) -> int:
        """Connections that are listed and of no request, and that no request will ever get.

        Those that are `never_set_up`. And with trio httpcore and httpcore2 keep one that has just
        been secured as its request was cancelled, with us or without: it is open, and never idle.
        """
        return sum(
            not connection.is_idle() and not connection.is_closed()
            for connection in self._of_no_request()
        )

    def _of_no_request(self) -> list[Any]:
        if self.library not in ("httpx", "httpx2"):
            return []
        wanted = {id(request.connection) for request in list(self.under_test.core._requests)}
        return [each for each in self.under_test.connections if id(each) not in wanted]

    def _sockets(self) -> Iterable[Any]:
        if self.library == "urllib3":
            for pool in list(self.under_test.raw.pools._container.values()):
                for connection in list(pool.pool.queue) if pool.pool is not None else ():
                    if connection is not None and connection.sock is not None:
                        yield connection.sock
            return
        for connection in self.under_test.connections:
            stream = getattr(connection._connection, "_network_stream", None)
            if stream is not None and not connection.is_closed():
                yield stream.get_extra_info("socket")


def make(
    library: Library,
    runner: Runner,
    context: ssl.SSLContext,
    chance: random.Random,
    http2: str | None,
) -> Pool:
    """A pool with random limits."""
    limit = chance.randint(2, 6)
    settings: dict[str, Any] = {"max_connections": limit}
    if http2 is not None:
        settings |= {"http1": False, "http2": True, "max_connections": 1}
    elif library.name == "urllib3":
        if chance.random() < 0.2:
            settings = {"max_keepalive_connections": limit}  # it does not block then
            limit = 10**6
    elif library.name == "aiohttp":
        settings["keepalive_expiry"] = chance.choice([15.0, 15.0, 15.0, 0.05])
    else:
        settings["keepalive_expiry"] = chance.choice([None, 60.0, 60.0, 0.02])
        settings["max_keepalive_connections"] = chance.choice([None, None, 1, limit])
    under_test = runner.pool(library, ssl_context=context, **settings)
    return Pool(under_test, library.name, settings, limit, http2)
