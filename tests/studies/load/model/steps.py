"""What can happen to a pool and its requests, each step waited for until it has happened."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from studies.load.servers import Origin
from support.installation import instrument
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

from .expected import Model
from .request import ModelRequest, Stage
from .world import LivePool, Surroundings, World, state_of

_SHORT = 0.03
"""Seconds of a timeout that has to come: nothing else could end the wait."""
BROKEN_OFF = ("read_error", "protocol_error")


class Life:
    """One example: the world, the model of it, and the steps that change both."""

    def __init__(self, surroundings: Surroundings, library: str, mode: str) -> None:
        self.world = World(surroundings, library, mode)
        self.model = Model(self.world)
        self.telemetry = Telemetry()
        self.registry: PoolRegistry | None = None
        self._used_up: Origin | None = None
        """Where a request went that failed within a step, and took an idle connection with it."""

    # Requests

    def _new(self, pool: LivePool, origin: Origin, status: int = 200) -> ModelRequest:
        request = ModelRequest(pool, origin, f"/{len(self.model.requests)}", status)
        self.model.use(pool)
        self.model.requests.append(request)
        return request

    def send(self, pool: LivePool, origin: Origin, status: int) -> None:
        """A request whose head and whose end wait for their gates."""
        request = self._new(pool, origin, status)
        request.head_gate, request.end_gate = origin.server.gate(), origin.server.gate()
        reply = Reply(
            head_after=request.head_gate,
            status=status,
            chunks=((0.0, b"one"),),
            end_after=request.end_gate,
        )
        request.exchange = pool.under_test.send(origin.url(request.path, reply))

    def whole(self, pool: LivePool, origin: Origin) -> None:
        """A request that is answered at once and read to its end."""
        request = self._new(pool, origin)
        request.acquired = True
        exchange = pool.under_test.send(origin.url(request.path, Reply()))
        assert exchange.head() == 200
        assert exchange.read() == b"ok"
        request.over((200, None))

    def fails(self, pool: LivePool, origin: Origin, error: str) -> None:
        """A request that fails before its head: by a timeout, or where nothing listens."""
        request = self._new(pool, origin)
        request.acquired = error != "pool_timeout"
        kind, timeouts = error.removesuffix("_timeout"), {}
        reply = None
        if error.endswith("_timeout"):
            timeouts[kind] = _SHORT
            self.model.timeouts[kind] += 1
        if error == "read_timeout":
            self._used_up = origin
            reply = Reply(head_after=origin.server.gate())
        failure = pool.under_test.send(origin.url(request.path, reply), **timeouts).failure()
        assert isinstance(failure, self.world.library.raises(error)), repr(failure)
        request.over((None, error))

    def answer(self, request: ModelRequest) -> None:
        """The head of a response comes."""
        request.head_gate.open()
        assert request.exchange.head() == request.status
        request.stage = Stage.OPEN

    def chunk(self, request: ModelRequest) -> None:
        """The application reads what has come so far."""
        assert request.exchange.chunk() == b"one"
        request.has_read = True
        request.phase_known_from = 0.0  # it may have been reading in between

    def begin_read(self, request: ModelRequest) -> None:
        """The application reads on, and the rest does not come yet."""
        if request.is_doomed:
            request.ending()
            failure = request.exchange.begin_read().exception(10)
            assert failure is not None
            request.exchange.wait()
            request.over(*((request.status, error) for error in BROKEN_OFF))
            return
        request.body = request.exchange.begin_read()
        request.stage = Stage.READING

    def finish(self, request: ModelRequest) -> None:
        """The end of a response comes and is read."""
        request.ending()
        body = request.body or request.exchange.begin_read()
        request.end_gate.open()
        assert body.result(10) == (b"" if request.has_read else b"one")
        request.exchange.wait()
        request.over((request.status, None))

    def close(self, request: ModelRequest) -> None:
        """The application closes a response that it has not read to the end."""
        request.ending()
        request.exchange.close()
        request.over((request.status, None))

    def abandon(self, request: ModelRequest) -> None:
        """The application drops a response without closing it."""
        request.ending()
        request.exchange.abandon()
        request.exchange = None
        request.stage = Stage.ABANDONED
        self.world.let_loop_run()

    def cancel(self, request: ModelRequest) -> None:
        """The task that a request runs in is cancelled, whatever it waits for."""
        request.ending()
        request.exchange.cancel()
        if request.stage is Stage.SENT:
            request.over((None, "cancelled"))
        elif request.stage is Stage.READING:
            request.over((request.status, "cancelled"))
        else:
            # Its own clean-up closes the response: that is a close as well as a cancellation.
            request.over((request.status, "cancelled"), (request.status, None))

    # Servers

    def hang_up_idle(self, pool: LivePool, connection: Any) -> None:
        """A server closes a connection that is idle; the pool finds out with its next request."""
        port = connection._origin.port
        (origin,) = (origin for origin in self.world.origins if origin.port == port)
        # By the client's own address, which both sides know.
        origin.server.drop(connection._connection._network_stream.get_extra_info("client_addr"))
        pool.left_by_peer.add(connection)
        wait_until(connection.has_expired, "the client's side sees it")

    def break_off(self, request: ModelRequest, reset: bool) -> None:
        """A server breaks off a connection with a request on it."""
        request.ending()
        request.origin.server.drop(request.connection, reset=reset)
        is_secure = request.origin is self.world.secure
        errors = BROKEN_OFF if is_secure else (BROKEN_OFF[not reset],)
        if request.stage is Stage.SENT:
            request.exchange.failure()
            request.reuse_failures = (request.is_on_reused,) * 2
            request.over(*((None, error) for error in errors))
        elif request.stage is Stage.READING:
            assert request.body.exception(10) is not None
            request.exchange.wait()
            request.over(*((request.status, error) for error in errors))
        else:
            request.ends_at = None
            request.is_doomed = True

    # Pools

    def close_pool(self, pool: LivePool) -> None:
        """The pool is closed; what is under way in it goes on as far as it can."""
        on_connections = [
            request
            for request in self.model.under_way(Stage.SENT, Stage.READING)
            if request.pool is pool and request.phase != "queued"
        ]
        for request in self.model.under_way(Stage.OPEN):
            if request.pool is pool:
                request.is_doomed = True
        for request in on_connections:
            request.ending()
        self.model.discard(pool, "closed")
        pool.close()
        for request in on_connections:
            exchange = request.exchange
            status = None
            if request.stage is Stage.READING:
                assert request.body.exception(10) is not None
                status = request.status
            else:
                exchange.failure()
                # One where it ends as a connection's failure, none where it ends otherwise.
                request.reuse_failures = (False, request.is_on_reused)
            exchange.wait()
            request.over(*((status, error) for error in (*BROKEN_OFF, "cancelled", "_OTHER")))

    def forget_pool(self, pool: LivePool) -> None:
        """The last reference to a pool goes, and the garbage collector comes."""
        reference = weakref.ref(pool.raw)
        for request in self.model.under_way(Stage.ABANDONED):
            if request.pool is pool:
                request.ending()
        self.world.forget_pool(pool)
        wait_until(lambda: gc.collect() * 0 + (reference() is None), "the pool is collected")
        self.model.discard(pool, "garbage_collected")

    # The instrumentation

    def instrument(self) -> None:
        """The instrumentation comes."""
        instrument(self.telemetry)
        # Private: nothing public says what is kept.
        installation = GlueLLMInstrumentor._installation
        assert installation is not None
        self.registry = installation.registry

    # What pools do by themselves

    @contextlib.contextmanager
    def watching_closes(self) -> Iterator[None]:
        """Note which idle connections a step has made the pools close, and why."""
        before = [
            (weakref.ref(connection), pool, connection._origin.port, pool.reason_for(connection))
            for pool in self.world.pools
            if pool.tracked
            for connection in pool.idle()
        ]
        self._used_up = None
        yield
        for reference, pool, port, reason in before:
            connection = reference()
            if self._used_up is not None and self._used_up.port == port:
                reason = reason | {"error"}
            if pool not in self.world.pools:
                self.model.closes.append(frozenset({"garbage_collected", *reason}))
            elif connection is None or not _is_listed(pool, connection):
                closed = pool.is_closed and not pool.tracked
                self.model.closes.append(frozenset({"pool_closed"}) if closed else reason)


def _is_listed(pool: LivePool, connection: Any) -> bool:
    return connection in list(pool.raw._connections) and state_of(connection) != "over"
