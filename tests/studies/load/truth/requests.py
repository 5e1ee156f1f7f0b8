"""Random pools and requests: where requests go, how they are served, and their faults."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studies.load.servers import Origin, Sent
from support.clients import PoolUnderTest, Runner
from support.libraries import Library, Timeouts
from support.script import Failure, Gate, Reply

if TYPE_CHECKING:
    from .world import World

UNSEEN = "unseen"
"""Phase of a request that no server has received: queued, connecting or without a stream."""
SHORT = 0.05
"""Seconds of timeouts that are meant to expire."""
_SERVED = ("plain", "plain", "another plain", "tls")
_BEFORE_HEAD = (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD)
_IN_BODY = (Failure.RESET_IN_BODY, Failure.EOF_IN_BODY)
_KINDS = {
    "held": 45,
    "served": 14,
    "broken": 12,
    "read timeout": 6,
    "refused": 4,
    "unreachable": 3,
    "distrusted": 4,
    "held tls": 8,
    "with an idle timeout": 6,
}
"""Weights of the kinds of requests."""
_KINDS_OF_HTTP2 = {"held": 3, "served": 2, "broken": 1}
_STATUSES = (200, 200, 200, 201, 404, 429, 500, 503)


@dataclass(eq=False, slots=True)
class Pool:
    """A pool under test."""

    under_test: PoolUnderTest
    library: str
    settings: dict[str, Any]
    limit: float
    """Connections that may be in use, to all origins; with urllib3, to each origin."""
    http2: str | None = None
    """The kind of the origin that an HTTP/2 pool is for."""
    lost: Counter[str] = field(default_factory=Counter)
    """Connections never released, by origin: urllib3's, after a response was only closed."""

    @classmethod
    def make(
        cls,
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
        return cls(under_test, library.name, settings, limit, http2)

    def group(self, origin: Origin) -> str:
        """Name of the origins that share a limit with this one."""
        return origin.kind if self.library == "urllib3" else "all"

    @property
    def gone_but_listed(self) -> int:
        """Connections that the system no longer has, but that the pool has not dropped yet.

        A documented difference: an idle connection counts until its pool drops it. So does one with
        an unread response, whose reset is not detected. If the peer has closed it, the system keeps
        the socket until the client closes it; if the peer has reset it, it does not. aiohttp's loop
        closes the socket in both cases, and its pool checks it when it needs a connection.
        """
        if self.library == "aiohttp":
            return sum(not idle.protocol.is_connected() for idle in self.under_test.connections)
        gone = 0
        for sock in self._sockets():
            try:
                sock.getpeername()
            except OSError:
                gone += 1
        return gone

    @property
    def never_set_up(self) -> int:
        """Listed connections without a request that will never be set up.

        httpcore and httpcore2 make one for a request whose pool timeout expires at that very
        moment. It takes up a connection of the pool for the pool's lifetime, so it is reported as
        one that is being set up (and as the anomaly ``orphaned_connection``).
        """
        return sum(
            connection._connection is None and not connection._connect_failed
            for connection in self._of_no_request()
        )

    @property
    def orphaned(self) -> int:
        """Listed connections without a request that no request will ever get.

        These are the `never_set_up` ones. With trio, httpcore and httpcore2 also keep a connection
        that was secured just as its request was cancelled, with or without the instrumentation: it
        is open, and never idle.
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


@dataclass(slots=True, kw_only=True)
class Request(Sent):
    """A request, with its planned answer and faults."""

    number: int
    pool: Pool
    origin: Origin
    reply: Reply = field(default_factory=Reply)
    gate: Gate | None = None
    """Where its server holds it: before the head or in the body."""
    reads: bool = True
    """Whether its body is read as soon as its head has arrived."""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    timeouts: Timeouts = field(default_factory=dict)

    cancelled_in: str | None = None
    """The phase that it was in when it was cancelled; ``anything`` if that is unknown."""
    abandoned: bool = False
    is_held_for_ever: bool = False
    """Whether it was abandoned and its library keeps it for the lifetime of its pool."""
    read_from: float | None = None
    """When its reader began, if that was not at once."""
    ended: float | None = None
    """When its lease ended, if that was not when its exchange did."""

    @property
    def path(self) -> str:
        """Its own path, by which its server knows it."""
        return f"/{self.number}"

    def send(self) -> None:
        """Send the request."""
        url = self.origin.url(self.path, self.reply)
        raw = self.pool.under_test
        self.exchange = raw.send(url, body=self.body, headers=self.headers, **self.timeouts)
        if self.reads:
            self.reading = self.exchange.begin_read()

    def seen_at(self, kind: str) -> float | None:
        """When its server recorded an event of it."""
        request = self.origin.request(self.path)
        return None if request is None else request.at.get(kind)

    @property
    def phase(self) -> str:
        """Its phase, according to its server and its reader. Valid while it is held."""
        if self.seen_at("request") is None:
            return UNSEEN
        if not self.exchange.answered:
            return "awaiting_response"
        return "reading" if self.reading is not None and not self.abandoned else "unread"

    @property
    def end(self) -> float:
        """When it left the pool."""
        return self.exchange.left if self.ended is None else self.ended

    def times(self) -> dict[str, float]:
        """Seconds before it reached its server, at the server, unread, and being read."""
        entered, answered, end = self.exchange.entered, self.exchange.answered, self.end
        seen = self.seen_at("request") or end
        times = {"before it is sent": min(seen, end) - entered}
        times["awaiting_response"] = max((answered or end) - seen, 0.0)
        if answered:
            begun = end
            if self.reading is not None:
                begun = min(max(self.read_from or answered, answered), end)
            times |= {"unread": begun - answered, "reading": end - begun}
        return times

    def __str__(self) -> str:
        """All details, to explain a mismatch."""
        seen = self.origin.request(self.path)
        state = f"over with {self.error!r}" if self.is_over else self.phase
        return (
            f"{self.number} to {self.origin.kind} {state}, status {self.status}, {seen}, "
            f"{self.reply}, gate {self.gate}, timeouts {self.timeouts}, "
            f"cancelled in {self.cancelled_in}, abandoned {self.abandoned}"
        )


def plan(
    world: World,
    pool: Pool,
    kinds: dict[str, int] = _KINDS,
    of_http2: dict[str, int] = _KINDS_OF_HTTP2,
) -> Request:
    """A request of one of these kinds, by their weights."""
    chance = world.chance
    kinds = of_http2 if pool.http2 else kinds
    (kind,) = chance.choices(list(kinds), list(kinds.values()))
    request = world.request(pool, chance.choice(_SERVED))
    _fill(world, request, kind, chance)
    if kind not in ("held", "served"):
        names = {"broken": str(request.reply.failure), "held tls": "TLS handshake that is held"}
        world.measures.faults[names.get(kind, kind)] += 1
    # aiohttp's timeout covers the queue and the set-up; which of them it ended would be unknown.
    is_both = pool.library == "aiohttp" and (
        request.origin.kind == "held tls" or "connect" in request.timeouts
    )
    if chance.random() < 0.15 and not is_both:
        request.timeouts["pool"] = SHORT
    return request


def _fill(world: World, request: Request, kind: str, chance: random.Random) -> None:
    status, http2 = chance.choice(_STATUSES), request.pool.http2
    if kind == "held":
        _hold(world, request, status)
    elif kind == "served":
        request.reply = _served(chance, status, http2=bool(http2))
        request.body = chance.choice((b"", b"", b"x" * 1000))
        if not http2 and chance.random() < 0.1:
            request.headers = (("Connection", "close"),)
    elif kind == "broken":
        failures = (*_BEFORE_HEAD, *_IN_BODY)
        if http2:  # an end of file would end the other streams of the connection
            failures = (Failure.RESET_BEFORE_HEAD, Failure.RESET_IN_BODY)
        request.reply = Reply(status=status, failure=chance.choice(failures))
    elif kind == "read timeout":
        where = chance.choice(("head_after", "end_after"))
        request.reply = Reply(status=status, **{where: world.origins["plain"].server.gate()})
        request.timeouts["read"] = SHORT
    else:
        request.origin = world.origins[kind]
        if kind == "unreachable" or (kind == "held tls" and chance.random() < 0.4):
            request.timeouts["connect"] = SHORT


def _served(chance: random.Random, status: int, *, http2: bool) -> Reply:
    if chance.random() < 0.15:
        return Reply(status=204, chunks=())
    headers = (("Connection", "close"),) if not http2 and chance.random() < 0.1 else ()
    delay = chance.choice((0.0, 0.0, 0.003))
    chunks = ((delay, b"x" * 100),) * chance.randint(1, 3)
    return Reply(head_after=delay, status=status, headers=headers, chunks=chunks, end_after=delay)


def _hold(world: World, request: Request, status: int) -> None:
    chance = world.chance
    request.gate = request.origin.server.gate()
    at_head = chance.random() < 0.4
    failures: tuple[Failure, ...] = (*_BEFORE_HEAD, *_IN_BODY) if at_head else _IN_BODY
    if request.pool.http2:
        failures = (Failure.RESET_IN_BODY,)
    failure = chance.choice(failures) if chance.random() < 0.25 else Failure.NONE
    if failure is not Failure.NONE:
        world.measures.faults[str(failure)] += 1
    held: dict[str, Any] = {"head_after" if at_head else "end_after": request.gate}
    request.reply = Reply(status=status, failure=failure, **held)
    request.reads = at_head or chance.random() < 0.5
