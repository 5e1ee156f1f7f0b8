"""One random life of a library's pools, and the checks after each of its steps."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.instrumentation.gluellm import Snapshot, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load import reading
from studies.load.reading import Choices, Collection
from support.installation import instrument

from .life import Life, LivePool, ModelRequest, Stage, Surroundings

_PATIENCE = 5.0
"""Seconds after which a condition that has not come true is a violation."""
_MOST_IN_FLIGHT = 6
_MOST_POOLS = 3
_STEPS = 40
_TURNS = 12
"""More turns than it takes to end everything that can be in flight."""
_DRIVEN = (Stage.SENT, Stage.OPEN, Stage.READING)
Step = tuple[Sequence[Any], Callable[[Any], Any]]
"""The candidates, and the function to call with the chosen one."""


class SpoiltError(Exception):
    """The library itself made a request fail, so that the life can't go on.

    httpcore 1.0.9 may close, for another origin, an idle connection that it has just assigned
    (``_assign_requests_to_connections``), with the instrumentation and without it. httpcore2
    reserves it.
    """


class Walk:
    """Draws the steps of one life by its seed, each from those that are possible at that moment."""

    def __init__(
        self, surroundings: Surroundings, library: str, mode: str, seed: str, counts: Counter[str]
    ) -> None:
        self.taken: list[str] = []
        """All steps so far, to explain a failure."""
        self._life = Life(surroundings, library, mode)
        self._requests = self._life.in_flight
        self._rng = random.Random(seed)
        self._counts = counts
        self._hung = False
        self._series: dict[Any, float] = {}
        self._times: dict[Any, float] = {}

    def live(self) -> None:
        """Take the steps, and compare after each. Raises AssertionError if something is wrong."""
        self._counts["lives"] += 1
        broken = True
        try:
            # The first pool may be older than the instrumentation.
            early = self._rng.random() < 0.5
            if early:
                self._open_pool()
            instrument(self._life.telemetry)
            if not early:
                self._open_pool()
            self._hold()
            for _ in range(_STEPS):
                self._step()  # no local of this frame may keep what the life has dropped
                self._hold()
            self._end()
            broken = False
        except SpoiltError:
            self._counts["lives left, spoilt by the library's own race"] += 1
        finally:
            self._life.close(broken=broken)

    def _step(self) -> None:
        possible = [(name, *step) for name, step in self._possible().items() if step[0]]
        # Most of what can go wrong needs several steps of one request.
        weights = [5 if isinstance(step[1][0], ModelRequest) else 1 for step in possible]
        ((name, candidates, do),) = self._rng.choices(possible, weights)
        chosen = self._rng.choice(candidates)
        self.taken.append(f"{name} {getattr(chosen, 'path', '')}")
        self._counts[f"steps: {name}"] += 1
        try:
            do(chosen)
        except self._life.library.core.NetworkError:
            self._leave_if_spoilt()
            raise

    def _leave_if_spoilt(self) -> None:
        if self._life.library.assigns_twice:
            raise SpoiltError

    # What is possible

    def _possible(self) -> dict[str, Step]:
        life, pools = self._life, self._life.pools
        pick, odds, in_flight = self._rng.choice, self._rng.random, self._requests()
        opened, being_read = self._requests(Stage.OPEN), self._requests(Stage.READING)
        driven = self._requests(*_DRIVEN)
        room = [pool for pool in pools if pool.has_room]
        full = [pool for pool in pools if pool.is_full]
        idle = [(pool, connection) for pool in pools for connection in pool.idle()]
        whole = [request for request in opened if not request.is_doomed]
        ready = [origin for origin in life.origins if not origin.handshakes]
        secure, handshakes = life.secure, life.secure.handshakes
        # Pools whose next request to the secure origin needs a new connection.
        connected = [pool for pool, connection in idle if connection._origin.port == secure.port]
        steps: dict[str, Step] = {}
        if len(in_flight) < _MOST_IN_FLIGHT:
            steps["send"] = pools, lambda p: life.send(p, pick(life.origins), pick((200, 503)))
        if len(in_flight) < _MOST_IN_FLIGHT - 1:
            steps["send and answer"] = pools, lambda p: self._send_and_answer(p, ready)
        steps["whole request"] = room, lambda p: life.whole(p, pick(ready))
        steps["refused"] = room, lambda p: life.fails(p, life.refused, "connection_error")
        steps["pool timeout"] = full, lambda p: life.fails(p, pick(ready), "pool_timeout")
        steps["read timeout"] = room, lambda p: life.fails(p, pick(ready), "read_timeout")
        if handshakes:
            new = [pool for pool in room if pool not in connected]
            steps["connect timeout"] = new, lambda p: life.fails(p, secure, "connect_timeout")
            steps["handshakes go on"] = [secure], lambda _: secure.release_handshakes()
        elif not self._hung:
            steps["handshakes hang"] = [secure], self._hang
        steps["answer"] = self._answerable(), life.answer
        steps["read a chunk"] = [r for r in whole if not r.has_read], life.chunk
        steps["begin to read"] = opened, life.begin_read
        steps["read to the end"] = being_read + whole, life.finish
        steps["close a response"] = opened, life.close_response
        # httpcore2 2.16.2 closes the connection of a dropped reader, but goes on listing its
        # request: the pool then holds more requests than connections.
        kept = [r for r in opened if not r.has_read or life.library.name != "httpx2"]
        steps["abandon a response"] = kept, life.abandon
        if life.is_async:
            steps["cancel"] = driven, life.cancel
        alive = [pair for pair in idle if pair[1] not in pair[0].left_by_peer]
        steps["server closes an idle connection"] = alive, lambda pair: life.hang_up_idle(*pair)
        at_server = [r for r in driven if r.is_at_server and not r.is_doomed]
        steps["server breaks off"] = at_server, lambda r: life.break_off(r, odds() < 0.5)
        steps["keep-alive expires"] = [pool for pool, _ in idle], lambda p: p.expire()
        if len(pools) < _MOST_POOLS:
            steps["new pool"] = [life], lambda _: self._open_pool()
        # Closing a sync pool while a thread is in one of its sockets would block forever.
        barring = {"connecting", *(() if life.is_async else ("awaiting_response", "reading"))}
        barred = [request.pool for request in in_flight if request.phase in barring]
        closable = [p for p in pools if (p.tracked or not p.is_closed) and p not in barred]
        steps["close a pool"] = closable, life.close_pool
        holding = [request.pool for request in driven]
        forgettable = [pool for pool in pools if pool not in holding]
        steps["forget a pool"] = forgettable, life.forget_pool
        dropped = self._requests(Stage.ABANDONED)
        steps["collect garbage"] = dropped, lambda _: life.collect_garbage()
        return steps

    def _answerable(self) -> list[ModelRequest]:
        return [request for request in self._requests(Stage.SENT) if request.is_at_server]

    def _send_and_answer(self, pool: LivePool, ready: list[Any]) -> None:
        """Send one or two requests; answer the newest if it has reached its server."""
        for _ in range(self._rng.randint(1, 2)):
            self._life.send(pool, self._rng.choice(ready), 200)
            self._hold()
        newest = self._requests()[-1]
        if newest.is_at_server:
            self._life.answer(newest)

    def _open_pool(self) -> None:
        self._life.open_pool(self._rng.randint(1, 3), self._rng.choice((None, 1)))

    def _hang(self, _: Any) -> None:
        self._hung = True
        self._life.secure.hold_handshakes()

    # What has to hold

    def _hold(self) -> None:
        """Wait until all that is reported agrees with the model."""
        deadline = time.monotonic() + _PATIENCE
        while wrong := self._wrong():
            if time.monotonic() > deadline:
                if any(r.exchange and r.exchange.has_failed for r in self._requests(Stage.SENT)):
                    self._leave_if_spoilt()
                raise AssertionError("\n".join(wrong))
            time.sleep(0.002)
        self._counts["times that everything was compared"] += 1

    def _wrong(self) -> list[str]:
        """Differences that may still disappear. Raises AssertionError for impossible ones."""
        moving = settle(self._life)
        if moving is not None:
            return [moving]
        reader = self._life.telemetry.reader
        reported, taken = Collection(reader), snapshot()
        series = reading.never_falling(reported)
        never = reading.wrong_in_reading(reported) + reading.wrong_in_snapshot(taken)
        never += reading.fallen(self._series, series)
        assert not never, "\n".join(never)
        self._series.update(series)
        times = reading.times_of(taken)
        wrong = wrong_in(self._life, reported, taken) + reading.fallen(self._times, times)
        if not wrong:
            self._times.update(times)
        if not wrong and self._requests():
            time.sleep(0.001)  # so that there is time to report
            wrong = reading.wrong_in_times(reported, Collection(reader))
        return wrong

    def _end(self) -> None:
        """End all requests and drop all pools."""
        life = self._life
        life.secure.release_handshakes()
        for _ in range(_TURNS):
            if not self._requests(*_DRIVEN):
                break
            self._hold()
            for request in self._answerable():
                life.answer(request)
            for request in self._requests(Stage.OPEN):
                life.close_response(request)
            for request in self._requests(Stage.READING):
                life.finish(request)
            self._hold()
            left = self._requests(Stage.SENT)
            if left and not self._answerable():
                # They queue behind a dropped response, which the library holds forever, or in a
                # closed pool, which serves them when another request comes.
                pool = left[0].pool
                life.close_pool(pool)
                life.send(pool, life.origins[0], 200)
        unended = [(r.path, r.stage, r.phase) for r in self._requests(*_DRIVEN)]
        assert not unended, unended
        self._hold()
        while pools := life.pools:
            if len(pools) % 2:
                life.close_pool(pools[-1])
            life.forget_pool(pools[-1])
        self._hold()


def settle(life: Life) -> str | None:
    """Set the phase of each request, by library and servers; return one that is changing."""
    waiting = {id(pool): pool.waiting() for pool in life.pools}
    for request in life.in_flight():
        known = waiting.get(id(request.pool), {})
        if request.stage is Stage.ABANDONED and request.path not in known:
            request.over((request.status, None), (request.status, "cancelled"))
            continue
        phase = request.where(known)
        if phase is None:
            return f"{request.path} is on its way"
        if phase not in ("queued", request.phase):
            request.acquired = True
        request.phase = phase
    return None


def wrong_in(life: Life, reported: Collection, taken: Snapshot) -> list[str]:
    """Differences between the model and a collection and a snapshot."""
    now = life.in_flight()
    ended = life.in_flight(Stage.OVER)
    tracked = [pool for pool in life.pools if pool.tracked]
    states = sum((pool.states() for pool in tracked), Counter())
    del states["over"]
    phases = Counter((request.phase, request.origin.port) for request in now)
    outcomes = Choices(request.outcomes for request in ended)
    answered = sum(request.phase in ("unread", "reading") for request in now)
    used = sum(
        known.requests > 0
        for origin in life.origins
        if origin.seen is not None
        for known in list(origin.seen.connections.values())
    )
    every = sum((pool.states() for pool in life.pools), Counter())
    by, total = reported.by, reported.total
    connections = by(semconv.OPEN_CONNECTIONS, "state")
    connections["connecting"] = int(total(semconv.CONNECTION_CONNECTING))
    unexplained = outcomes.difference(by(semconv.REQUESTS, "status", "error"))
    closed = used - every["active"] - every["idle"]
    equal: list[tuple[str, Any, Any]] = [
        ("request.current", by(semconv.REQUEST_CURRENT, "phase", "port"), phases),
        ("connections", +connections, +states),
        ("pool.live", total(semconv.POOL_LIVE), len(tracked)),
        ("pool.opened", total(semconv.POOL_OPENED), life.opened),
        ("pool.discarded", by(semconv.POOL_DISCARDED, "discard"), +life.discarded),
        ("requests with unexpected outcomes", unexplained, Counter()),
        ("timeouts", by(semconv.TIMEOUTS, "kind"), life.timeouts),
        ("acquire.duration", total(semconv.ACQUIRE_DURATION), len(ended) + answered),
        ("lease.duration", total(semconv.LEASE_DURATION), sum(r.acquired for r in ended)),
        ("connection.opened", total(semconv.CONNECTION_OPENED), used),
        ("connection.closed", total(semconv.CONNECTION_CLOSED), closed),
    ]
    origins = [origin for each in taken.totals for origin in each.origins]
    listed_outcomes: Counter[Any] = Counter()
    for outcome in (outcome for origin in origins for outcome in origin.outcomes):
        listed_outcomes[outcome.status, outcome.error] += outcome.count
    requests_now: Counter[str] = sum((Counter(o.requests_now) for o in origins), Counter())
    listed = Counter(each.state for pool in taken.pools for each in pool.connections)
    equal += [
        ("requests_now", requests_now, Counter(request.phase for request in now)),
        ("outcomes of the snapshot", outcomes.difference(listed_outcomes), Counter()),
        ("pools of the snapshot", len(taken.pools), len(tracked)),
        ("connections of the snapshot", listed, +states),
    ]
    return [
        f"{what}: reported {value}, expected {expected}"
        for what, value, expected in equal
        if value != expected
    ]
