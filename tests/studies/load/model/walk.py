"""One random life of a library's pools, and what has to hold after each of its steps."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from studies.load.collection import Collection

from .forked import verdict_of_child
from .invariants import (
    never_falling,
    times_of,
    wrong_between,
    wrong_in_reading,
    wrong_in_snapshot,
    wrong_in_times,
)
from .request import ModelRequest, Stage
from .retained import Watched, left_over
from .steps import Life
from .world import PATIENCE, LivePool, Surroundings

_MOST_UNDER_WAY = 6
_MOST_POOLS = 3
_STEPS = 40
_TURNS = 12
"""More than it takes to bring all that can be under way to its end."""
_DRIVEN = (Stage.SENT, Stage.OPEN, Stage.READING)

Step = tuple[Sequence[Any], Callable[[Any], None]]
"""What there is to choose from, and what is done with the choice."""


class SpoiltError(Exception):
    """The library itself made a request fail, so that the life can't go on.

    httpcore 1.0.9 may close, for another origin, an idle connection that it has just assigned
    (``_assign_requests_to_connections``), with or without us. httpcore2 reserves it.
    """


@dataclass(slots=True)
class Counts:
    """Counted over all lives of one library and mode."""

    lives: int = 0
    spoilt: int = 0
    compared: int = 0
    """How often everything was compared with the model."""
    steps: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    """Requests that were compared, by phase."""


class Walk:
    """The steps of one life are drawn from its seed, of those that are possible at each moment."""

    def __init__(
        self, surroundings: Surroundings, library: str, mode: str, seed: str, counts: Counts
    ) -> None:
        self.taken: list[str] = []
        """Each step, for a person who looks for what went wrong."""
        self._life = Life(surroundings, library, mode)
        self._model, self._world = self._life.model, self._life.world
        self._rng = random.Random(seed)
        self._counts = counts
        self._watched = Watched()
        self._forked = self._hung = False
        self._toggles_left = self._rng.randint(0, 3)
        self._series: dict[Any, float] = {}
        self._times: dict[Any, float] = {}

    def live(self) -> None:
        """Take the steps, and compare after each. Raises AssertionError if something is wrong."""
        self._counts.lives += 1
        broken = True
        try:
            self._begin()
            for _ in range(_STEPS):
                possible = {name: step for name, step in self._possible().items() if step[0]}
                name = self._rng.choice(list(possible))
                candidates, do = possible[name]
                self._take(name, do, self._rng.choice(candidates))
                self._hold()
            self._end()
            broken = False
        except SpoiltError:
            self._counts.spoilt += 1
        finally:
            if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
                GlueLLMInstrumentor().uninstrument()
            self._world.close(broken=broken)
            self._life.telemetry.shutdown()

    def _begin(self) -> None:
        """A first pool, which may be there before the instrumentation.

        More can be said of a life that one installation sees all of: half of them are such.
        """
        toggles, self._toggles_left = self._toggles_left, max(self._toggles_left - 1, 0)
        if toggles != 3:
            self._life.instrument()
        self._open_pool()
        self._hold()

    def _take(self, name: str, do: Callable[[Any], None], chosen: Any) -> None:
        self.taken.append(f"{name}: {getattr(chosen, 'path', chosen)}")
        self._counts.steps[name] += 1
        with self._life.watching_closes():
            try:
                do(chosen)
            except self._world.library.core.NetworkError:
                self._leave_if_spoilt()
                raise

    def _leave_if_spoilt(self) -> None:
        if self._world.library.assigns_twice:
            raise SpoiltError

    # What is possible

    def _requests(self, *stages: Stage) -> list[ModelRequest]:
        return self._model.under_way(*stages)

    def _possible(self) -> dict[str, Step]:
        life, world, rng, pools = self._life, self._world, self._rng, self._world.pools
        under_way, opened = self._requests(), self._requests(Stage.OPEN)
        has_few = len(under_way) < _MOST_UNDER_WAY
        room = [pool for pool in pools if pool.has_room]
        idle = [(pool, connection) for pool in pools for connection in pool.idle()]
        whole = [request for request in opened if not request.is_doomed]
        at_server = [r for r in self._requests(*_DRIVEN) if r.is_at_server and not r.is_doomed]
        ready = [origin for origin in world.origins if not origin.handshakes]
        handshakes = world.secure.handshakes
        # Pools whose next request to the secure origin needs a new connection.
        unconnected = [
            pool
            for pool in room
            if handshakes and all(c._origin.port != world.secure.port for c in pool.idle())
        ]
        instrumented = self._model.instrumented
        return {
            "send": (
                pools if has_few else (),
                lambda pool: life.send(pool, rng.choice(world.origins), rng.choice((200, 503))),
            ),
            "send and answer": (
                pools if len(under_way) < _MOST_UNDER_WAY - 1 else (),
                lambda pool: self._send_and_answer(pool, ready),
            ),
            "whole request": (room, lambda pool: life.whole(pool, rng.choice(ready))),
            "refused": (room, lambda pool: life.fails(pool, world.refused, "connection_error")),
            "pool timeout": (
                [pool for pool in pools if pool.is_full],
                lambda pool: life.fails(pool, rng.choice(ready), "pool_timeout"),
            ),
            "read timeout": (
                room,
                lambda pool: life.fails(pool, rng.choice(ready), "read_timeout"),
            ),
            "connect timeout": (
                unconnected,
                lambda pool: life.fails(pool, world.secure, "connect_timeout"),
            ),
            "answer": (self._answerable(), life.answer),
            "read a chunk": ([r for r in whole if not r.has_read], life.chunk),
            "begin to read": (opened, life.begin_read),
            "read to the end": (self._requests(Stage.READING) + whole, life.finish),
            "close a response": (opened, life.close),
            "abandon a response": (opened, life.abandon),
            "cancel": (self._requests(*_DRIVEN) if world.is_async else (), life.cancel),
            "server closes an idle connection": (
                [pair for pair in idle if pair[1] not in pair[0].left_by_peer],
                lambda pair: life.hang_up_idle(*pair),
            ),
            "server breaks off": (
                at_server,
                lambda request: life.break_off(request, rng.random() < 0.5),
            ),
            "keep-alive expires": (
                [pool for pool in pools if pool.idle()],
                lambda pool: pool.expire(),
            ),
            "handshakes hang": ((not self._hung or None,) if not self._hung else (), self._hang),
            "handshakes go on": (
                (handshakes,) if handshakes else (),
                lambda _: world.secure.release_handshakes(),
            ),
            "new pool": (
                (None,) if len(pools) < _MOST_POOLS else (),
                lambda _: self._open_pool(),
            ),
            "close a pool": (self._closable(), life.close_pool),
            "forget a pool": (self._forgettable(), life.forget_pool),
            "collect garbage": (
                (None,) if self._requests(Stage.ABANDONED) else (),
                lambda _: (gc.collect(), world.let_loop_run()),
            ),
            # It takes a hundred times as long as any other step.
            "fork": ((None,) if under_way and not self._forked else (), self._fork),
            "instrument or uninstrument": (
                (life.uninstrument if instrumented else life.instrument,)
                if self._toggles_left
                else (),
                self._toggle,
            ),
        }

    def _answerable(self) -> list[ModelRequest]:
        return [request for request in self._requests(Stage.SENT) if request.is_at_server]

    def _closable(self) -> list[LivePool]:
        """Not a sync pool under a thread that is in one of its sockets: it would wait for ever."""
        barring = {"connecting"}
        if not self._world.is_async:
            barring |= {"awaiting_response", "reading"}
        return [
            pool
            for pool in self._world.pools
            if (pool.tracked or not pool.is_closed)
            and not barring & {r.phase for r in self._requests() if r.pool is pool}
        ]

    def _forgettable(self) -> list[LivePool]:
        """Pools that nothing refers to but what was dropped already."""
        holding = [r.pool for r in self._requests() if r.stage is not Stage.ABANDONED]
        return [pool for pool in self._world.pools if pool not in holding]

    # Steps that concern the walk itself

    def _send_and_answer(self, pool: LivePool, ready: list[Any]) -> None:
        """One or two at once; the newest is answered if it got as far as its server."""
        for _ in range(self._rng.randint(1, 2)):
            self._life.send(pool, self._rng.choice(ready), 200)
            self._hold()
        newest = self._requests()[-1]
        if newest.is_at_server:
            self._life.answer(newest)

    def _open_pool(self) -> None:
        self._world.open_pool(self._rng.randint(1, 3), self._rng.choice((None, 1)))

    def _hang(self, _: Any) -> None:
        self._hung = True
        self._world.secure.hold_handshakes()

    def _fork(self, _: Any) -> None:
        """A child begins with nothing and counts its own requests."""
        self._forked = True
        plain = self._world.origins[0]
        wrong = verdict_of_child(
            self._life.telemetry, self._world.library, plain.url("/child"), self._model.instrumented
        )
        assert not wrong, wrong
        self._model.of_children += plain.request("/child") is not None

    def _toggle(self, do: Callable[[], None]) -> None:
        self._toggles_left -= 1
        do()

    # What has to hold

    def _hold(self) -> None:
        """Wait until all that is reported agrees with the model; what must never be is never."""
        deadline = time.monotonic() + PATIENCE
        while wrong := self._wrong():
            if time.monotonic() > deadline:
                if any(r.exchange and r.exchange.has_failed for r in self._requests(Stage.SENT)):
                    self._leave_if_spoilt()
                raise AssertionError("\n".join(wrong))
            time.sleep(0.002)
        self._counts.compared += 1
        now = time.monotonic()
        for request in self._requests():
            request.known_from = request.known_from or now
            request.phase_known_from = request.phase_known_from or now
            self._counts.phases[request.phase or ""] += 1
        for pool in self._world.pools:
            self._watched.watch(pool.objects())

    def _wrong(self) -> list[str]:
        model = self._model
        moving = model.settle()
        if moving is not None:
            return [moving]
        reader = self._life.telemetry.reader
        told = Collection(reader)
        never = wrong_in_reading(told) + wrong_between(self._series, told)
        assert not never, "\n".join(never)
        self._series.update(never_falling(told))
        wrong = model.wrong_in(told)
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
            time.sleep(0.001)  # for time to pass that has to be reported
            wrong = wrong_in_times(told, Collection(reader))
        return wrong

    def _end(self) -> None:
        """Bring everything to its end, and find nothing of it left."""
        life = self._life
        self._world.secure.release_handshakes()
        for _ in range(_TURNS):
            if not self._requests(*_DRIVEN):
                break
            self._hold()
            for request in self._answerable():
                life.answer(request)
            for request in self._requests(Stage.OPEN):
                life.close(request)
            for request in self._requests(Stage.READING):
                life.finish(request)
            self._hold()
            left = self._requests(Stage.SENT)
            if left and not self._answerable():
                # They queue behind a response that was dropped, which the library holds for ever,
                # or in a closed pool, which serves them once another request comes.
                pool = left[0].pool
                life.close_pool(pool)
                life.send(pool, self._world.origins[0], 200)
        unended = [(r.path, r.stage, r.phase) for r in self._requests(*_DRIVEN)]
        assert not unended, unended
        self._hold()
        for number, pool in enumerate(list(self._world.pools)):
            if number % 2:
                life.close_pool(pool)
            life.forget_pool(pool)
        pool = None  # type: ignore[assignment]
        self._hold()
        remains = left_over(self._watched, life.registries)
        assert not remains, f"left over: {remains}"
