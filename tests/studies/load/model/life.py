"""One life of a library's pools: its steps, and servers whose every step waits for a gate."""

import asyncio
import contextlib
import gc
import ssl
import time
import weakref
from collections import Counter
from enum import StrEnum
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from studies.load.servers import Origin, origins
from support.clients import PoolUnderTest, Runner
from support.libraries import Library
from support.listener import ServerLoop
from support.network import Certificates
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until, wait_until_collected

_TURNS = 10
_SHORT = 0.03
"""Seconds of a timeout that always expires, since nothing else ends the wait."""
BROKEN_OFF = ("read_error", "protocol_error")
Surroundings = tuple[ServerLoop, Certificates, ssl.SSLContext]
"""What all lives of a run share: a loop for servers, certificates, and the clients' TLS context."""
Outcome = tuple[int | None, str | None]
"""Status and error type, as in ``gluellm.pool.requests``."""


class LivePool:
    """A pool of httpcore or httpcore2, and its state according to the library."""

    def __init__(self, under_test: PoolUnderTest, maximum: int) -> None:
        self.under_test = under_test
        self.maximum = maximum
        self.tracked = False
        """Whether the package tracks it, according to the model."""
        self.is_closed = False
        self.left_by_peer: weakref.WeakSet[Any] = weakref.WeakSet()
        """Idle connections that the server has closed."""

    @property
    def raw(self) -> Any:
        """The library's pool."""
        return self.under_test.raw

    def waiting(self) -> dict[str, bool | None]:
        """By path, whether a request is in the library's queue.

        None while it is about to get a connection, or to queue.
        """
        return {
            request.request.url.target.decode(): _is_waiting(request)
            for request in list(self.raw._requests)
        }

    def states(self) -> Counter[str]:
        """Its connections by state, according to their public ``info()``."""
        return Counter(_state_of(connection) for connection in list(self.raw._connections))

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
        return [c for c in list(self.raw._connections) if _state_of(c) == "idle"]

    def expire(self) -> None:
        """Let the keep-alive of all idle connections run out.

        It moves their expiry instead of waiting: a short keep-alive would expire at another step in
        each run. The contract suite tests real expiry.
        """
        for connection in self.idle():
            connection._connection._expire_at = time.monotonic() - 1


def _is_waiting(request: Any) -> bool | None:
    if not request.is_queued():
        return False
    acquired = request._connection_acquired
    event = getattr(acquired, "_anyio_event", None)
    if event is not None:
        return event.statistics().tasks_waiting > 0 or None
    event = getattr(acquired, "_event", None)
    return (event is not None and len(event._cond._waiters) > 0) or None


def _state_of(connection: Any) -> str:
    words = connection.info()
    if "CLOSED" in words or "FAILED" in words:
        return "over"
    if "IDLE" in words:
        return "idle"
    return "connecting" if "CONNECTING" in words else "active"


class Stage(StrEnum):
    """How far the walk has driven a request."""

    SENT = "sent"
    """No head yet: it is queued, connecting, or at the server."""
    OPEN = "open"
    """Its head has come and its body is not read."""
    READING = "reading"
    """A read of its body is in flight."""
    ABANDONED = "abandoned"
    """Its response was dropped and not closed: the library decides when it ends."""
    OVER = "over"


class ModelRequest:
    """A request in the model, from its sending on."""

    def __init__(self, pool: LivePool, origin: Origin, path: str, status: int) -> None:
        self.pool, self.origin, self.path, self.status = pool, origin, path, status
        self.head_gate: Any = None
        self.end_gate: Any = None
        self.exchange: Any = None
        self.body: Any = None
        self.stage = Stage.SENT
        self.has_read = False
        self.is_doomed = False
        """Whether the server has broken its connection, which the next read detects."""
        self.outcomes: frozenset[Outcome] = frozenset()
        """The possible outcomes of a request that is over."""
        self.acquired = False
        """Whether it ever had a connection, according to the model."""
        self.phase: str | None = None

    @property
    def is_at_server(self) -> bool:
        """Whether the server has it."""
        return self.origin.request(self.path) is not None

    def where(self, waiting: dict[str, bool | None]) -> str | None:
        """Its phase, according to the library's queue and the server; None while it changes."""
        if self.stage in (Stage.OPEN, Stage.ABANDONED):
            return "unread"
        if self.stage is Stage.READING:
            return "reading"
        if self.is_at_server:
            return "awaiting_response"
        queued = waiting.get(self.path)
        if queued:
            return "queued"
        return "connecting" if queued is False and self.origin.handshakes else None

    def over(self, *outcomes: Outcome) -> None:
        """Mark the request as ended, with one of these outcomes."""
        self.stage = Stage.OVER
        self.outcomes = frozenset(outcomes)
        self.exchange = self.body = None


class Life:
    """Servers, pools and requests of one life, and its steps. Each step returns when it is done."""

    def __init__(self, surroundings: Surroundings, library: str, mode: str) -> None:
        loop, certificates, self._context = surroundings
        self.library = Library.load(library)
        self.is_async = mode != "sync"
        self._stack = contextlib.ExitStack()
        self.runner = self._stack.enter_context(Runner.start(mode))
        kinds = "plain", "another plain", "held tls", "refused"
        started = self._stack.enter_context(origins(certificates, *kinds, loop=loop))
        *self.origins, self.refused = started.values()
        self.secure = self.origins[2]
        self.telemetry = Telemetry()
        self.pools: list[LivePool] = []
        self.requests: list[ModelRequest] = []
        self.opened = 0
        """Pools that were first used while instrumented."""
        self.discarded: Counter[str] = Counter()
        self.timeouts: Counter[str] = Counter()

    def in_flight(self, *stages: Stage) -> list[ModelRequest]:
        """The requests in one of these stages; if none is named, all that are not over."""
        wanted = stages or set(Stage) - {Stage.OVER}
        return [request for request in self.requests if request.stage in wanted]

    def close(self, *, broken: bool) -> None:
        """Stop the servers and the runner; in a broken life, end waiting clients first."""
        if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
            GlueLLMInstrumentor().uninstrument()
        if broken:
            self.secure.release_handshakes()
            for origin in self.origins:
                origin.server.hang_up(reset=True)
        for pool in self.pools:
            pool.under_test.forget()
        self._stack.close()
        self.telemetry.shutdown()

    # Requests

    def _new(self, pool: LivePool, origin: Origin, status: int = 200) -> ModelRequest:
        request = ModelRequest(pool, origin, f"/{len(self.requests)}", status)
        self.opened += not pool.tracked
        pool.tracked = True
        self.requests.append(request)
        return request

    def send(self, pool: LivePool, origin: Origin, status: int) -> None:
        """Send a request whose head and whose end wait for their gates."""
        request = self._new(pool, origin, status)
        head, end = origin.server.gate(), origin.server.gate()
        request.head_gate, request.end_gate = head, end
        reply = Reply(head_after=head, status=status, chunks=((0.0, b"one"),), end_after=end)
        request.exchange = pool.under_test.send(origin.url(request.path, reply))

    def whole(self, pool: LivePool, origin: Origin) -> None:
        """Send a request that is answered at once, and read it to its end."""
        request = self._new(pool, origin)
        request.acquired = True
        exchange = pool.under_test.send(origin.url(request.path, Reply()))
        assert exchange.head() == 200
        assert exchange.read() == b"ok"
        request.over((200, None))

    def fails(self, pool: LivePool, origin: Origin, error: str) -> None:
        """Send a request that fails before its head: by a timeout, or because nothing listens."""
        request = self._new(pool, origin)
        request.acquired = error != "pool_timeout"
        kind, timeouts = error.removesuffix("_timeout"), {}
        if error.endswith("_timeout"):
            timeouts[kind] = _SHORT
            self.timeouts[kind] += 1
        reply = Reply(head_after=origin.server.gate()) if error == "read_timeout" else None
        failure = pool.under_test.send(origin.url(request.path, reply), **timeouts).failure()
        assert isinstance(failure, self.library.raises(error)), repr(failure)
        request.over((None, error))

    def answer(self, request: ModelRequest) -> None:
        """Let the head of a response arrive."""
        request.head_gate.open()
        assert request.exchange.head() == request.status
        request.stage = Stage.OPEN

    def chunk(self, request: ModelRequest) -> None:
        """Read what has arrived of a response."""
        assert request.exchange.chunk() == b"one"
        request.has_read = True

    def begin_read(self, request: ModelRequest) -> None:
        """Begin to read a response whose rest has not arrived."""
        if request.is_doomed:
            assert request.exchange.begin_read().exception(10) is not None
            request.exchange.wait()
            errors = (*BROKEN_OFF, "client_closed")
            request.over(*((request.status, error) for error in errors))
            return
        request.body = request.exchange.begin_read()
        request.stage = Stage.READING

    def finish(self, request: ModelRequest) -> None:
        """Let the end of a response arrive, and read it."""
        body = request.body or request.exchange.begin_read()
        request.end_gate.open()
        assert body.result(10) == (b"" if request.has_read else b"one")
        request.exchange.wait()
        request.over((request.status, None))

    def close_response(self, request: ModelRequest) -> None:
        """Close a response that was not read to the end."""
        request.exchange.close()
        request.over((request.status, None))

    def abandon(self, request: ModelRequest) -> None:
        """Drop a response without closing it."""
        request.exchange.abandon()
        request.exchange = None
        request.stage = Stage.ABANDONED
        self.let_loop_run()

    def cancel(self, request: ModelRequest) -> None:
        """Cancel the task of a request, whatever it waits for."""
        request.exchange.cancel()
        status = None if request.stage is Stage.SENT else request.status
        # Cancelling an unread response also closes it, so either outcome is possible.
        closed = [(status, None)] if request.stage is Stage.OPEN else []
        request.over((status, "cancelled"), *closed)

    # Servers

    def hang_up_idle(self, pool: LivePool, connection: Any) -> None:
        """Let a server close an idle connection; the pool detects that with its next request."""
        port = connection._origin.port
        (origin,) = (origin for origin in self.origins if origin.port == port)
        # By the client's own address, which both sides know.
        origin.server.drop(connection._connection._network_stream.get_extra_info("client_addr"))
        pool.left_by_peer.add(connection)
        wait_until(connection.has_expired, "the client's side sees it")

    def break_off(self, request: ModelRequest, reset: bool) -> None:
        """Let a server break a connection with a request on it."""
        seen = request.origin.request(request.path)
        assert seen is not None
        request.origin.server.drop(seen.connection, reset=reset)
        errors = BROKEN_OFF if request.origin is self.secure else (BROKEN_OFF[not reset],)
        if request.stage is Stage.SENT:
            request.exchange.failure()
            request.over(*((None, error) for error in errors))
        elif request.stage is Stage.READING:
            assert request.body.exception(10) is not None
            request.exchange.wait()
            request.over(*((request.status, error) for error in errors))
        else:
            request.is_doomed = True

    # Pools

    def open_pool(self, maximum: int, kept: int | None) -> None:
        """Open one more pool."""
        under_test = self.library.pool(
            self.runner,
            max_connections=maximum,
            max_keepalive_connections=kept,
            keepalive_expiry=60.0,
            ssl_context=self._context,
        )
        self.pools.append(LivePool(under_test, maximum))

    def close_pool(self, pool: LivePool) -> None:
        """Close a pool, possibly again. Requests on its connections fail."""
        on_connections = [
            request
            for request in self.in_flight(Stage.SENT, Stage.READING)
            if request.pool is pool and request.phase != "queued"
        ]
        for request in self.in_flight(Stage.OPEN):
            request.is_doomed |= request.pool is pool
        self._discard(pool, "closed")
        pool.under_test._close()
        pool.is_closed = True
        for request in on_connections:
            status = None
            if request.stage is Stage.READING:
                assert request.body.exception(10) is not None
                status = request.status
            else:
                request.exchange.failure()
            request.exchange.wait()
            errors = (*BROKEN_OFF, "client_closed", "cancelled", "_OTHER")
            request.over(*((status, error) for error in errors))

    def forget_pool(self, pool: LivePool) -> None:
        """Drop the last reference to a pool, and wait until it is garbage collected."""
        reference = weakref.ref(pool.raw)
        self.pools.remove(pool)
        pool.under_test.forget()
        wait_until_collected(lambda: reference() is None, "the pool is collected")
        self._discard(pool, "garbage_collected")

    def _discard(self, pool: LivePool, reason: str) -> None:
        self.discarded[reason] += pool.tracked
        pool.tracked = False

    def collect_garbage(self) -> None:
        """Collect garbage, and let finalizers run."""
        gc.collect()
        self.let_loop_run()

    def let_loop_run(self) -> None:
        """Let everything that is scheduled on the clients' loop end, such as finalizers."""
        if self.runner.portal is not None:
            for _ in range(_TURNS):
                self.runner.portal.call(asyncio.sleep, 0)
