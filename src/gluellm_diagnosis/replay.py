"""Replay of a pool's recorded requests through a simulated pool of another size.

The simulated pool serves first come, first served. Each request arrives when it was recorded and
holds its connection for as long as it was recorded. So a replay does not show that a provider is
slower under more load, and not the time that further connections take to be established.

- A request that left the queue without a connection (cancelled, or after a pool timeout) had a
  demand. It leaves the simulated queue after the same wait. If it gets a connection before, it
  holds that for the mean time of the others. Its caller's retry stays in the load.
- Every other request waits at most for the pool timeout.
- Requests in flight count: those that hold a connection for the time so far and at least the mean
  time, those in the queue as the others.
- If the recorded requests come from a fixed number of callers, each of which waits for its answer,
  then their arrivals depend on the waits: the replay has so many callers, not these arrivals.
- With more traffic, each copy of the arrivals is shifted by its share of the recorded time, past
  its end to the beginning.
"""

from __future__ import annotations

import math
from array import array
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heapreplace
from itertools import filterfalse, islice
from operator import attrgetter
from statistics import median

from opentelemetry.instrumentation.gluellm.snapshots.parts import OriginTotals, PoolSnapshot
from opentelemetry.instrumentation.gluellm.text import counted, percent, seconds
from opentelemetry.instrumentation.gluellm.thresholds import QUEUED_SHARE, REPLAY_REQUESTS
from opentelemetry.instrumentation.gluellm.vocabulary import TICKS

_arrival, _begin = attrgetter("arrival"), attrgetter("begin")
_MOST_IN_FLIGHT = 100_000
"""A saved snapshot can count any number of requests, and a replay has an entry for each."""
_FIXED_CALLERS = 0.9
"""Share of the arrivals at which the pool has about as many requests as ever, if the number of
callers is fixed, and that number in relation to the most."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits for a connection, in seconds."""

    p50: float
    p95: float
    p99: float
    longest: float
    waited: float
    """Share of the requests that waited."""
    gave_up: int
    """Requests that left the queue without a connection."""

    def brief(self, verb: str) -> str:
        """Share of the requests that waited, and the longest wait."""
        if not self.waited:
            return f"none {verb}"
        return f"{percent(self.waited)} {verb}, the longest for {seconds(self.longest)}"

    def __str__(self) -> str:
        if not self.waited:
            return "no request waits"
        gave_up = f" and {self.gave_up} give up" if self.gave_up else ""
        p50, p95, p99 = map(seconds, (self.p50, self.p95, self.p99))
        return f"{percent(self.waited)} wait (p50 {p50}, p95 {p95}, p99 {p99}){gave_up}"


@dataclass(frozen=True, slots=True)
class _Request:
    arrival: float
    """Seconds; negative, since the snapshot is at 0."""
    wait: float
    hold: float
    patience: float
    """Longest time in the queue."""
    gave_up: bool = False

    @property
    def begin(self) -> float:
        """When the request left the queue."""
        return self.arrival + self.wait

    @property
    def end(self) -> float:
        return self.begin if self.gave_up else self.begin + self.hold


class Recording:
    """The recorded requests of one pool, and those in flight."""

    def __init__(
        self, requests: Sequence[_Request], maximum: int | None, unended: tuple[float, ...]
    ) -> None:
        """Create one. ``maximum`` is the pool's limit on connections."""
        # Requests that ended before the first recorded end are missing. If others queued for them,
        # the simulated pool starts with the connections that these had acquired by then.
        first = min((r.end for r in requests if not r.gave_up), default=-math.inf)

        def had_begun(request: _Request) -> bool:
            return request.wait > 0 and not request.gave_up and request.begin < first

        self._started = sorted(filter(had_begun, requests), key=_begin)
        self._requests = sorted(filterfalse(had_begun, requests), key=_arrival)
        self.maximum = maximum
        self.unended = unended
        """How long connections have been held, if that is longer than any that was released."""
        self.size = len(requests)
        arrivals = [r.arrival for r in requests]
        self.period = max(arrivals) - min(arrivals)
        self.mean_hold = sum(r.hold for r in requests) / len(requests)
        self.recorded = _waits([r.wait for r in requests], sum(r.gave_up for r in requests))
        # With as many connections as requests at once, none waits if none gave up.
        self.at_once, self.callers = _at_once(self._requests)

    def replay(self, max_connections: int | None, traffic: int = 1) -> Waits:
        """Return the waits with another limit (None: unlimited) and a multiple of the traffic."""
        started, requests = self._started, _copied(self._requests, traffic)
        count = len(started) + len(requests)
        # When each connection becomes free, and when each of a fixed number of callers sends next.
        free = [-math.inf] * max(min(max_connections or count, count), 1)
        senders = [0.0] * (self.callers * traffic)
        for request in started if not senders else ():
            heapreplace(free, max(request.begin, free[0]) + request.hold)
        waits: list[float] = []
        gave_up = 0
        for request in requests:
            arrival = senders[0] if senders else request.arrival
            wait = max(free[0] - arrival, 0.0)
            if wait > request.patience:
                gave_up += 1
                wait = request.patience
                end = arrival + wait
            else:
                end = arrival + wait + request.hold
                heapreplace(free, end)
            waits.append(wait)
            if senders:
                heapreplace(senders, end)
        return _waits(waits, gave_up)

    def has_no_queue(self, max_connections: int) -> bool:
        """Return whether at most 1 % of the requests wait for longer than a tenth of a request."""
        waits = self.replay(max_connections)
        few_give_up = waits.gave_up <= 0.01 * self.size
        return few_give_up and waits.p99 <= QUEUED_SHARE * self.mean_hold

    def needed(self) -> int | None:
        """Return a limit with which the queue is gone; None if the present one has no queue.

        It is the smallest such limit, and its square root more, since the next requests arrive
        otherwise than these. More than the requests at once is not needed.
        """
        least = self.maximum or 1
        if self.has_no_queue(least):
            return None
        # With a larger pool, requests that gave up would have held a connection as well.
        demand = [replace(request, gave_up=False) for request in self._requests]
        most = max(_at_once(demand)[0], least + 1)
        while least + 1 < most:
            middle = (least + most) // 2
            least, most = (least, middle) if self.has_no_queue(middle) else (middle, most)
        return max(most, min(most + math.isqrt(most), self.at_once))


def recording_of(
    pools: Sequence[PoolSnapshot],
    period: float = math.inf,
    *,
    seen: Iterable[OriginTotals] = (),
    most: int | None = None,
) -> Recording | str:
    """Return the requests that ended in the last ``period`` seconds, or why there is no replay.

    ``pools`` are the live pools of one name, and ``seen`` the origins of all its requests so far.
    Of the requests that ended, those beyond ``most`` in all are left out, the earliest first.
    """
    if obstacle := _obstacle(pools, seen):
        return obstacle
    (pool,) = pools
    times = _ended(pool, period, most)
    holds = [hold for _, _, hold in times if hold >= 0]
    known = len(times) + pool.in_flight
    if known < REPLAY_REQUESTS or not holds:
        return (
            f"a replay needs {REPLAY_REQUESTS} requests of this pool (recorded: {known}), and "
            f"one that released its connection (recorded: {len(holds)})"
        )
    mean = sum(holds) / len(holds)
    patience = math.inf if pool.pool_timeout is None else pool.pool_timeout
    requests = [
        _Request(arrival, wait, hold, max(patience, wait))
        if hold >= 0
        else _Request(arrival, wait, mean, wait, gave_up=True)
        for arrival, wait, hold in times
    ]
    for running in pool.requests:
        held = running.held or 0.0
        wait = running.age - held
        one = _Request(-running.age, wait, max(held, mean), max(patience, wait))
        requests += [one] * len(running.alike)
    limits = (pool.max_connections, pool.max_connections_per_origin)
    maximum = min((limit for limit in limits if limit), default=None)
    longest = max(holds)
    held_for = (running.held or 0.0 for running in pool.requests for _ in running.alike)
    return Recording(requests, maximum, tuple(held for held in held_for if held > longest))


def _obstacle(pools: Sequence[PoolSnapshot], seen: Iterable[OriginTotals]) -> str:
    """Return why there is no replay of such pools; empty if there is one."""
    if len(pools) != 1:
        return f"{counted(len(pools), 'live pool')} of this name, each with its own limit and load"
    (pool,) = pools
    if pool.library == "grpc":
        return "not applicable: a gRPC channel has no limit on connections"
    if pool.in_flight > _MOST_IN_FLIGHT:
        return f"{pool.in_flight} requests in flight, more than a replay reads"
    if any(connection.protocol == "2" for connection in pool.connections):
        return "not applicable: requests share HTTP/2 connections, and do not wait for one"
    origins = {c.origin for c in pool.connections} | {r.origin for r in pool.requests}
    origins |= {totals.origin for totals in seen}
    if pool.max_connections_per_origin is not None and len(origins) > 1:
        return "the pool limits each origin, and a replay does not know the requests' origins"
    return ""


def _ended(pool: PoolSnapshot, period: float, most: int | None) -> list[tuple[float, float, float]]:
    """Return arrival, wait and hold (below 0: none) of the recorded requests that ended."""
    numbers = array("i", b64decode(pool.leases))
    latest_first = (
        (-numbers[i] / TICKS, numbers[i + 1] / TICKS, numbers[i + 2] / TICKS)
        for i in reversed(range(0, len(numbers) - 2, 3))
        if numbers[i] - numbers[i + 1] - max(numbers[i + 2], 0) <= period * TICKS
    )
    if most is not None:
        # With at least as many as are in flight: a queue alone does not show how long they take.
        most = max(most - pool.in_flight, most // 2)
    return [*islice(latest_first, most)][::-1]


def _waits(waits: Iterable[float], gave_up: int) -> Waits:
    order = sorted(waits) or [0.0]
    p50, p95, p99 = (order[math.ceil(len(order) * share) - 1] for share in (0.5, 0.95, 0.99))
    waited = sum(wait * TICKS >= 1 for wait in order) / len(order)
    return Waits(p50, p95, p99, order[-1], waited, gave_up)


def _copied(requests: list[_Request], times: int) -> list[_Request]:
    """Return the requests and their shifted copies, in order of their arrivals."""
    if times == 1 or len(requests) < 2:
        return requests * times
    begin, count = requests[0].arrival, len(requests)
    # With the mean gap after the last arrival; 1 if all arrive at once.
    period = (requests[-1].arrival - begin) * count / (count - 1) or 1.0
    found = [
        replace(r, arrival=begin + (r.arrival - begin + period * copy / times) % period)
        if copy
        else r
        for copy in range(times)
        for r in requests
    ]
    return sorted(found, key=_arrival)


def _at_once(requests: list[_Request]) -> tuple[int, int]:
    """Return the most requests in the pool at one moment, and the fixed number of callers.

    The latter is 0 if the arrivals do not depend on the ends of other requests: if the number
    changes, or if arrivals do not follow an end closely.
    """
    ends = sorted(r.end for r in requests)
    numbers, after_end, before_end = [], [], []
    for index, request in enumerate(requests):
        ended = bisect_right(ends, request.arrival)
        numbers.append(index + 1 - ended)
        if 0 < ended < len(ends):
            after_end.append(request.arrival - ends[ended - 1])
            before_end.append(ends[ended] - request.arrival)
    most = max(numbers, default=0)
    steady = [number >= _FIXED_CALLERS * most for number in numbers[most:]]
    if len(steady) <= most or sum(steady) < _FIXED_CALLERS * len(steady):
        return most, 0
    return most, most if median(after_end) < median(before_end) / 2 else 0
