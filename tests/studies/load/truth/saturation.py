"""More requests than connections or streams: whether every reading says who waits.

Readings are taken from another thread at random moments, of the metrics and of the snapshot in
turn. A reading is wrong in either of two cases:

- More requests are in phases that hold a connection (on HTTP/2: a stream) than there are.
- It has no request that waits, while the test's own count of requests without a connection was
  above 0 from 50 ms before the reading to 50 ms after it.
"""

from __future__ import annotations

import bisect
import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.collection import Collection
from studies.load.servers import Origin, Origins, server_loop
from support.clients import PoolUnderTest, Runner
from support.installation import instrument
from support.libraries import Library
from support.network import Certificates
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import PATIENCE

LOADS = ((50, 20), (120, 50))
"""Workers, and the connections or streams that they share."""
MARGIN = 0.05
"""Seconds before and after a reading in which requests wait all the time."""
HOLDING = ("awaiting_response", "reading", "unread")
WAITING = ("queued", "connecting", "stream_queued")
WAYS = {
    "httpx": ("direct", "forward proxy", "HTTP/1.1 agreed, HTTP/2 offered", "HTTP/2"),
    "httpx2": ("direct", "forward proxy", "HTTP/1.1 agreed, HTTP/2 offered", "HTTP/2"),
    "aiohttp": ("direct", "forward proxy"),
    "urllib3": ("direct", "forward proxy"),
}
"""How each library reaches its server."""


@dataclass(slots=True)
class Reading:
    """What was reported at one moment, between ``asked`` and ``answered``."""

    asked: float
    answered: float
    phases: Counter[str]
    open: int
    """Established connections."""


@dataclass(slots=True)
class Study:
    """One library under one load: what was reported, and what is so."""

    name: str
    places: int
    http2: bool
    readings: list[Reading] = field(default_factory=list)
    entered: dict[str, float] = field(default_factory=dict)
    """When each request was handed to its library, by its path."""
    served: dict[str, float] = field(default_factory=dict)
    """When its server got it: it had a connection by then. Of one that failed before: when."""
    errors: Counter[str] = field(default_factory=Counter)
    """Requests that failed in their library."""
    requeues: int = 0
    opened: int = 0
    failures: list[str] = field(default_factory=list)
    """What went wrong in the test itself or in the instrumentation."""

    def too_many_hold(self) -> list[Reading]:
        """Readings with more holders than there are connections or streams."""
        return [
            reading
            for reading in self.readings
            if sum(reading.phases[phase] for phase in HOLDING)
            > (self.places if self.http2 else reading.open)
        ]

    def nobody_waits(self) -> list[Reading]:
        """Readings in which nobody waits, taken while requests did."""
        times, counts = self._without_connection()
        wrong = []
        for reading in self.readings:
            first = max(bisect.bisect_right(times, reading.asked - MARGIN) - 1, 0)
            last = bisect.bisect_right(times, reading.answered + MARGIN)
            waited = reading.asked - MARGIN >= times[0] and min(counts[first:last]) > 0
            if waited and not sum(reading.phases[phase] for phase in WAITING):
                wrong.append(reading)
        return wrong

    def _without_connection(self) -> tuple[list[float], list[int]]:
        """The test's own count of requests without a connection, from each time on."""
        ends = self.served.values()
        changes = sorted([(at, 1) for at in self.entered.values()] + [(at, -1) for at in ends])
        count, counts = 0, []
        for _, change in changes:
            count += change
            counts.append(count)
        return [at for at, _ in changes], counts

    @property
    def wrong(self) -> int:
        """How many readings are wrong, in one way or in both."""
        return len({id(reading) for reading in self.too_many_hold() + self.nobody_waits()})

    def row(self) -> str:
        """A line of the table."""
        most = max(sum(r.phases[phase] for phase in HOLDING) for r in self.readings)
        return (
            f"{self.name:<58} {len(self.entered):>8} {self.errors.total():>6} "
            f"{self.requeues:>8} {self.opened:>6} {len(self.readings):>8} "
            f"{most:>4} of {self.places:<3} "
            f"{len(self.too_many_hold()):>8} {len(self.nobody_waits()):>8}"
        )


HEADER = (
    f"{'':<58} {'requests':>8} {'failed':>6} {'requeues':>8} {'opened':>6} "
    f"{'readings':>8} "
    f"{'most held':>11} {'too many':>8} {'no queue':>8}"
)


def study(
    library: str, mode: str, way: str, workers: int, places: int, *, seconds: float, seed: int
) -> Study:
    """Let workers share a pool for so long, and read what is reported at random moments."""
    name = f"{library} {mode}, {way}, {workers} over {places}"
    found = Study(name, places, way == "HTTP/2")
    with contextlib.ExitStack() as stack:
        certificates = Certificates.make()
        loop = stack.enter_context(server_loop())
        kind = {"HTTP/2": "http2 cleartext"}.get(way, "tls" if "agreed" in way else "plain")
        origins = stack.enter_context(Origins.start(loop, certificates, kind))
        origin = origins.by_kind[kind]
        telemetry = Telemetry()
        stack.callback(telemetry.shutdown)
        instrument(telemetry)
        stack.callback(GlueLLMInstrumentor().uninstrument)
        runner = stack.enter_context(Runner.start(mode))
        loaded = Library.load(library)
        settings: dict[str, Any] = {"max_connections": places}
        if way == "HTTP/2":
            origin.server.max_streams = places
            settings = {"max_connections": 1, "http1": False, "http2": True}
        elif way == "forward proxy":
            settings["proxy"] = loaded.core.Proxy(origin.base)
        elif kind == "tls":
            settings |= {"http2": True, "ssl_context": certificates.client()}
        pool = runner.pool(loaded, **settings)
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(
                target=_work, args=(found, pool, runner, origin, deadline, f"{seed}/{number}")
            )
            for number in range(workers)
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        chance = random.Random(f"{seed} {name}")
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(0.005, 0.05))
            of = _of_snapshot if len(found.readings) % 2 else _of_metrics
            found.readings.append(of(telemetry))
        # On sync HTTP/2 one stream's reader reads for all, and at the end nobody may wake the last.
        for thread in threads:
            thread.join(max(deadline + PATIENCE + 30 - time.monotonic(), 0.0))
        assert origin.seen is not None
        for path, request in origin.seen.requests.items():
            found.served[path] = request.at["request"]
        stuck = sum(thread.is_alive() for thread in threads)
        _check(found, Collection(telemetry.reader), stuck)
    return found


def _check(found: Study, told: Collection, stuck: int) -> None:
    """All requests are counted, and nothing failed but what is ``stuck`` in its library."""
    if stuck:
        found.errors["stuck"] = stuck
    found.requeues = int(told.total(semconv.REQUEUES))
    found.opened = int(told.total(semconv.CONNECTION_OPENED))
    for metric, expected in (
        (semconv.REQUESTS, len(found.entered) - stuck),
        (semconv.LEASE_DURATION, len(found.entered) - stuck),
        (semconv.ACTIVE_REQUESTS, stuck),
        (semconv.INSTRUMENTATION_ERRORS, 0),
        (semconv.ANOMALIES, 0),
    ):
        if told.total(metric) != expected:
            found.failures.append(f"{metric.name}: {told.total(metric):g}, expected {expected}")


def _work(
    found: Study, pool: PoolUnderTest, runner: Runner, origin: Origin, deadline: float, name: str
) -> None:
    """Make one request after the other until the time is over."""
    chance = random.Random(name)
    number = 0
    while time.monotonic() < deadline:
        number += 1
        path = f"/{name}/{number}"
        delay, rest = chance.uniform(0.05, 0.4), chance.uniform(0.0, 0.2)
        url = origin.url(path, Reply(head_after=delay, end_after=rest))
        found.entered[path] = time.monotonic()
        try:
            if runner.portal is None:
                pool.call(url)
            else:
                runner.portal.call(pool.fetch, url)
        except Exception as error:
            found.errors[type(error).__name__] += 1
            found.served[path] = time.monotonic()


def _of_metrics(telemetry: Telemetry) -> Reading:
    told = Collection(telemetry.reader)
    phases: Counter[str] = told.by(semconv.REQUEST_CURRENT, "phase")
    return Reading(told.since, told.until, phases, int(told.total(semconv.OPEN_CONNECTIONS)))


def _of_snapshot(telemetry: Telemetry) -> Reading:
    asked = time.monotonic()
    taken = snapshot()
    answered = time.monotonic()
    phases = Counter(request.phase for pool in taken.pools for request in pool.requests)
    states = [each.state for pool in taken.pools for each in pool.connections]
    return Reading(asked, answered, phases, sum(state != "connecting" for state in states))
