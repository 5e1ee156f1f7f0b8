"""The rules by which a pool's life goes on at random, and what has to hold after each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

from .counting import Counts
from .forked import verdict_of_child
from .reading import (
    Reading,
    times_of,
    wrong_between,
    wrong_in_reading,
    wrong_in_snapshot,
    wrong_in_times,
)
from .request import ModelRequest, Stage
from .retained import Watched, left_over
from .steps import Life
from .world import PATIENCE, LivePool, Origin, Surroundings

_MOST_UNDER_WAY = 6
_MOST_POOLS = 3
_TURNS = 12
"""More than it takes to bring all that can be under way to its end."""
_WHICH = st.integers(0, 5)


def _when(condition: Callable[[PoolLife], Any]) -> Any:
    return precondition(lambda self: bool(condition(self)))


class PoolLife(RuleBasedStateMachine):
    """The life of the pools of one library, in threads or on an event loop."""

    surroundings: ClassVar[Surroundings]
    library: ClassVar[str]
    mode: ClassVar[str]
    counts: ClassVar[Counts]

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(self.surroundings, self.library, self.mode)
        self.watched = Watched()
        self.is_whole = True
        """False from the beginning of a step until everything held after it."""
        self._forked = False
        self._hung = False
        self._toggles_left = 0
        self._series: dict[Any, float] = {}
        self._times: dict[Any, float] = {}
        self.counts.examples += 1

    # What there is to choose from

    def _requests(self, *stages: Stage) -> list[ModelRequest]:
        return self.life.model.under_way(*stages)

    @property
    def _pools(self) -> list[LivePool]:
        return self.life.world.pools

    def _with_room(self) -> list[LivePool]:
        return [pool for pool in self._pools if pool.has_room]

    def _full(self) -> list[LivePool]:
        return [pool for pool in self._pools if pool.is_full]

    def _at_server(self) -> list[ModelRequest]:
        stages = (Stage.SENT, Stage.OPEN, Stage.READING)
        return [r for r in self._requests(*stages) if r.is_at_server and not r.is_doomed]

    def _answerable(self) -> list[ModelRequest]:
        return [r for r in self._requests(Stage.SENT) if r.is_at_server]

    def _open(self) -> list[ModelRequest]:
        return [r for r in self._requests(Stage.OPEN) if not r.is_doomed]

    def _closable_pools(self) -> list[LivePool]:
        """Pools that can be closed: a sync one not under a thread that is in one of its sockets,
        which would wait there for ever."""
        found = []
        for pool in self._pools:
            phases = {r.phase for r in self._requests() if r.pool is pool}
            barring = {"connecting"}
            if not self.life.world.is_async:
                barring |= {"awaiting_response", "reading"}
            if not phases & barring and (pool.tracked or not pool.is_closed):
                found.append(pool)
        return found

    def _forgettable_pools(self) -> list[LivePool]:
        """Pools that nothing refers to but what was dropped already."""
        holding = {id(r.pool) for r in self._requests() if r.stage is not Stage.ABANDONED}
        return [pool for pool in self._pools if id(pool) not in holding]

    def _ready_origin(self, which: int) -> Origin:
        ready = [origin for origin in self.life.world.origins if not origin.holds_setups]
        return ready[which % len(ready)]

    def _step(self, step: Callable[..., None], *arguments: Any) -> None:
        self.is_whole = False
        self.counts.steps[step.__name__] += 1
        with self.life.watching_closes():
            try:
                step(*arguments)
            except self.life.world.library.core.NetworkError:
                self._leave_if_spoilt()
                raise

    def _leave_if_spoilt(self) -> None:
        """A request has failed that nobody made fail: leave this life where the library does that.

        httpcore 1.0.9 may close, for another origin, an idle connection that it has just assigned
        (``_assign_requests_to_connections``), with or without us. httpcore2 reserves it.
        """
        if self.life.world.library.assigns_twice:
            self.counts.spoilt += 1
            reject()

    # The beginning

    @initialize(
        maximum=st.integers(1, 3), kept=st.sampled_from([None, 1]), toggles=st.integers(0, 3)
    )
    def begin(self, maximum: int, kept: int | None, toggles: int) -> None:
        """A first pool, which may be there before the instrumentation.

        Where one installation sees all of a life, more can be said of it: so that is half of them.
        """
        self._toggles_left = toggles if toggles > 1 else 0
        if toggles != 3:
            self._step(self.life.instrument)
        self._step(self.new_pool_of, maximum, kept)

    def new_pool_of(self, maximum: int, kept: int | None) -> None:
        """One more pool."""
        self.life.world.open_pool(maximum, kept)

    # Requests

    @_when(lambda self: self._pools and len(self._requests()) < _MOST_UNDER_WAY)
    @rule(pool=_WHICH, origin=st.integers(0, 2), status=st.sampled_from([200, 503]))
    def send(self, pool: int, origin: int, status: int) -> None:
        chosen = self._pools[pool % len(self._pools)]
        self._step(self.life.send, chosen, self.life.world.origins[origin], status)

    @_when(lambda self: self._pools and len(self._requests()) < _MOST_UNDER_WAY - 1)
    @rule(pool=_WHICH, origin=_WHICH, count=st.integers(1, 2))
    def send_and_answer(self, pool: int, origin: int, count: int) -> None:
        """One or two at once; the head comes of those that get as far as the server."""
        for _ in range(count):
            self._step(self.life.send, _one(self._pools, pool), self._ready_origin(origin), 200)
            self.hold()
        newest = self._requests()[-1]
        if newest.is_at_server:
            self._step(self.life.answer, newest)

    @_when(lambda self: self._with_room())
    @rule(pool=_WHICH, origin=_WHICH)
    def whole_request(self, pool: int, origin: int) -> None:
        self._step(self.life.whole, _one(self._with_room(), pool), self._ready_origin(origin))

    @_when(lambda self: self._with_room())
    @rule(pool=_WHICH)
    def refused_connection(self, pool: int) -> None:
        self._step(self.life.refused, _one(self._with_room(), pool))

    @_when(lambda self: self._full())
    @rule(pool=_WHICH, origin=_WHICH)
    def pool_timeout(self, pool: int, origin: int) -> None:
        self._step(self.life.pool_timeout, _one(self._full(), pool), self._ready_origin(origin))

    @_when(lambda self: self._with_room())
    @rule(pool=_WHICH, origin=_WHICH)
    def read_timeout(self, pool: int, origin: int) -> None:
        chosen = _one(self._with_room(), pool)
        self._step(self.life.read_timeout, chosen, self._ready_origin(origin))

    @_when(lambda self: self.life.world.secure.holds_setups and self._unconnected())
    @rule(pool=_WHICH)
    def connect_timeout(self, pool: int) -> None:
        self._step(self.life.connect_timeout, _one(self._unconnected(), pool))

    def _unconnected(self) -> list[LivePool]:
        """Pools with room whose next request to the secure origin needs a new connection."""
        port = self.life.world.secure.port
        return [
            pool for pool in self._with_room() if all(c._origin.port != port for c in pool.idle())
        ]

    @_when(lambda self: self._answerable())
    @rule(request=_WHICH)
    def head_comes(self, request: int) -> None:
        self._step(self.life.answer, _one(self._answerable(), request))

    @_when(lambda self: [r for r in self._open() if not r.has_read])
    @rule(request=_WHICH)
    def read_a_chunk(self, request: int) -> None:
        unread = [r for r in self._open() if not r.has_read]
        self._step(self.life.chunk, _one(unread, request))

    @_when(lambda self: self._requests(Stage.OPEN))
    @rule(request=_WHICH)
    def begin_to_read(self, request: int) -> None:
        self._step(self.life.begin_read, _one(self._requests(Stage.OPEN), request))

    @_when(lambda self: self._requests(Stage.READING) or self._open())
    @rule(request=_WHICH)
    def read_to_the_end(self, request: int) -> None:
        self._step(self.life.finish, _one(self._requests(Stage.READING) + self._open(), request))

    @_when(lambda self: self._requests(Stage.OPEN))
    @rule(request=_WHICH)
    def close_response(self, request: int) -> None:
        self._step(self.life.close, _one(self._requests(Stage.OPEN), request))

    @_when(lambda self: self._requests(Stage.OPEN))
    @rule(request=_WHICH)
    def abandon_response(self, request: int) -> None:
        self._step(self.life.abandon, _one(self._requests(Stage.OPEN), request))

    @_when(lambda self: self.life.world.is_async and self._cancellable())
    @rule(request=_WHICH)
    def cancel(self, request: int) -> None:
        self._step(self.life.cancel, _one(self._cancellable(), request))

    def _cancellable(self) -> list[ModelRequest]:
        return self._requests(Stage.SENT, Stage.OPEN, Stage.READING)

    # Servers and time

    @_when(lambda self: any(self._hung_up_on(pool) for pool in self._pools))
    @rule(pool=_WHICH, connection=_WHICH)
    def server_closes_idle(self, pool: int, connection: int) -> None:
        pools = [pool for pool in self._pools if self._hung_up_on(pool)]
        self._step(self.life.hang_up_idle, _one(pools, pool), connection)

    @staticmethod
    def _hung_up_on(pool: LivePool) -> bool:
        return any(connection not in pool.left_by_peer for connection in pool.idle())

    @_when(lambda self: self._at_server())
    @rule(request=_WHICH, reset=st.booleans())
    def server_breaks_off(self, request: int, reset: bool) -> None:
        self._step(self.life.break_off, _one(self._at_server(), request), reset)

    @_when(lambda self: any(pool.idle() for pool in self._pools))
    @rule(pool=_WHICH)
    def keepalive_expires(self, pool: int) -> None:
        pools = [pool for pool in self._pools if pool.idle()]
        self._step(_one(pools, pool).expire)

    @_when(lambda self: not self._hung)
    @rule()
    def set_ups_hang(self) -> None:
        self._hung = True
        self._step(self.life.world.secure.hold_setups)

    @_when(lambda self: self.life.world.secure.holds_setups)
    @rule()
    def set_ups_go_on(self) -> None:
        self._step(self.life.world.secure.let_setups_go)

    # Pools

    @_when(lambda self: len(self._pools) < _MOST_POOLS)
    @rule(maximum=st.integers(1, 3), kept=st.sampled_from([None, 1]))
    def new_pool(self, maximum: int, kept: int | None) -> None:
        self._step(self.new_pool_of, maximum, kept)

    @_when(lambda self: self._closable_pools())
    @rule(pool=_WHICH)
    def close_pool(self, pool: int) -> None:
        self._step(self.life.close_pool, _one(self._closable_pools(), pool))

    @_when(lambda self: self._forgettable_pools())
    @rule(pool=_WHICH)
    def forget_pool(self, pool: int) -> None:
        self._step(self.life.forget_pool, _one(self._forgettable_pools(), pool))

    # The process and the instrumentation

    @_when(lambda self: self._requests(Stage.ABANDONED))
    @rule()
    def collect_garbage(self) -> None:
        self._step(self.life.collect_garbage)

    # It takes a hundred times as long as any other step.
    @_when(lambda self: self._requests() and not self._forked)
    @rule()
    def fork(self) -> None:
        self._forked = True
        self._step(self.fork_a_child)

    def fork_a_child(self) -> None:
        """A child begins with nothing and counts its own."""
        life = self.life
        wrong = verdict_of_child(
            life.telemetry,
            life.world.library,
            life.world.origins[0].url("/child"),
            life.model.instrumented,
        )
        assert not wrong, wrong
        life.model.of_children += life.world.origins[0].timeline.count("request", "/child") > 0

    @_when(lambda self: self._toggles_left)
    @rule()
    def toggle_instrumentation(self) -> None:
        self._toggles_left -= 1
        instrumented = self.life.model.instrumented
        self._step(self.life.uninstrument if instrumented else self.life.instrument)

    # What has to hold

    @invariant()
    def everything_told_is_so(self) -> None:
        self.hold()
        self.is_whole = True

    def hold(self) -> None:
        """Wait until all that is told agrees with the model; what must never be is never."""
        deadline = time.monotonic() + PATIENCE
        while True:
            wrong = self._wrong()
            if not wrong:
                break
            if time.monotonic() > deadline:
                if any(r.exchange and r.exchange.has_failed for r in self._requests(Stage.SENT)):
                    self._leave_if_spoilt()
                raise AssertionError("\n".join(wrong))
            time.sleep(0.002)
        self.counts.invariants += 1
        now = time.monotonic()
        for request in self._requests():
            request.known_from = request.known_from or now
            request.phase_known_from = request.phase_known_from or now
        for pool in self._pools:
            self.watched.watch(pool.objects())
        self.counts.saw(self.life)

    def _wrong(self) -> list[str]:
        model = self.life.model
        moving = model.settle()
        if moving is not None:
            return [moving]
        reading = Reading(self.life.telemetry)
        wrong = self._never(reading)
        assert not wrong, "\n".join(wrong)
        wrong = model.wrong_in(reading)
        if model.instrumented:
            taken = snapshot()
            never = wrong_in_snapshot(taken)
            assert not never, "\n".join(never)
            wrong += model.wrong_in_snapshot(taken)
            times = times_of(taken)
            wrong += [
                f"the snapshot's time of {key} fell from {self._times[key]} to {seconds}"
                for key, seconds in times.items()
                if seconds < self._times.get(key, 0)
            ]
            if not wrong:
                self._times.update(times)
        if not wrong and any(request.seen for request in self._requests()):
            time.sleep(0.001)  # for time to pass that has to be told
            wrong = wrong_in_times(reading, Reading(self.life.telemetry))
        return wrong

    def _never(self, reading: Reading) -> list[str]:
        wrong = wrong_in_reading(reading) + wrong_between(self._series, reading)
        self._series.update(reading.never_falling())
        return wrong

    # The end

    def teardown(self) -> None:
        """Bring everything to its end, and find nothing of it left."""
        try:
            if self.is_whole:
                self._end()
        finally:
            if not self.is_whole:
                self.life.world.let_everything_go()
            if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
                GlueLLMInstrumentor().uninstrument()
            self.life.world.close()
            self.life.telemetry.shutdown()

    def _end(self) -> None:
        self.is_whole = False
        life = self.life
        life.world.secure.let_setups_go()
        for _ in range(_TURNS):
            if not self._requests(Stage.SENT, Stage.OPEN, Stage.READING):
                break
            self.hold()
            for request in self._answerable():
                life.answer(request)
            for request in self._requests(Stage.OPEN):
                life.close(request)
            for request in self._requests(Stage.READING):
                life.finish(request)
            self.hold()
            left = self._requests(Stage.SENT)
            if left and not self._answerable():
                # They queue behind a response that was dropped, which the library holds for ever,
                # or in a closed pool, which serves them once another request comes.
                pool = left[0].pool
                life.close_pool(pool)
                life.send(pool, life.world.origins[0], 200)
        left = self._requests(Stage.SENT, Stage.OPEN, Stage.READING)
        assert not left, [(r.path, r.stage, r.phase) for r in left]
        self.hold()
        for number, pool in enumerate(list(self._pools)):
            if number % 2:
                life.close_pool(pool)
            life.forget_pool(pool)
        self.hold()
        left = left_over(self.watched, self.life.registries)
        assert not left, f"left over: {left}"
        self.is_whole = True


def _one(found: list[Any], which: int) -> Any:
    return found[which % len(found)]
