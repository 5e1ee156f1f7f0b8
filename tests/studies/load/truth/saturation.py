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
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.collection import Collection
from studies.load.command import instrumented, started
from studies.load.servers import Origin, Origins
from support.clients import PoolUnderTest, Runner
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
        entered = [(at, 1) for at in self.entered.values()]
        changes = sorted(entered + [(at, -1) for at in self.served.values()])
        times = [at for at, _ in changes]
        # The test's own count of requests without a connection, from each of these times on.
        counts = list(itertools.accumulate(change for _, change in changes))
        wrong = []
        for reading in self.readings:
            first = max(bisect.bisect_right(times, reading.asked - MARGIN) - 1, 0)
            last = bisect.bisect_right(times, reading.answered + MARGIN)
            waited = reading.asked - MARGIN >= times[0] and min(counts[first:last]) > 0
            if waited and not sum(reading.phases[phase] for phase in WAITING):
                wrong.append(reading)
        return wrong

    @property
    def wrong(self) -> int:
        """How many readings are wrong, in one way or in both."""
        return len({id(reading) for reading in self.too_many_hold() + self.nobody_waits()})

    def row(self) -> str:
        """What it counted, in a line."""
        most = max(sum(r.phases[phase] for phase in HOLDING) for r in self.readings)
        return (
            f"{self.name}: {len(self.entered)} requests, {self.errors.total()} failed, "
            f"{self.requeues} requeues, {self.opened} connections; {len(self.readings)} readings, "
            f"at most {most} of {self.places} held; {len(self.too_many_hold())} with too many "
            f"holders, {len(self.nobody_waits())} without a queue"
        )


def study(
    library: str, mode: str, way: str, workers: int, places: int, *, seconds: float, seed: int
) -> Study:
    """Let workers share a pool for so long, and read what is reported at random moments."""
    name = f"{library} {mode}, {way}, {workers} over {places}"
    found = Study(name, places, way == "HTTP/2")
    with contextlib.ExitStack() as stack:
        certificates = Certificates.make()
        kind = {"HTTP/2": "http2 cleartext"}.get(way, "tls" if "agreed" in way else "plain")
        origins = stack.enter_context(Origins.start(certificates, kind))
        origin = origins.by_kind[kind]
        telemetry = stack.enter_context(instrumented())
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
        names = [f"{seed}/{number}" for number in range(workers)]
        work = found, pool, runner, origin, deadline
        threads = [started(each, _work, *work, each) for each in names]
        chance = random.Random(f"{seed} {name}")
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(0.005, 0.05))
            found.readings.append(_read(telemetry, by_snapshot=len(found.readings) % 2 > 0))
        # On sync HTTP/2 one stream's reader reads for all, and at the end nobody may wake the last.
        for thread in threads:
            thread.join(max(deadline + PATIENCE + 30 - time.monotonic(), 0.0))
        assert origin.seen is not None
        for path, request in origin.seen.requests.items():
            found.served[path] = request.at["request"]
        stuck = sum(thread.is_alive() for thread in threads)
        _check(found, Collection(telemetry.reader), stuck)
    return found


def _check(found: Study, reported: Collection, stuck: int) -> None:
    """All requests are counted, and nothing failed but what is ``stuck`` in its library."""
    if stuck:
        found.errors["stuck"] = stuck
    found.requeues = int(reported.total(semconv.REQUEUES))
    found.opened = int(reported.total(semconv.CONNECTION_OPENED))
    for metric, expected in (
        (semconv.REQUESTS, len(found.entered) - stuck),
        (semconv.LEASE_DURATION, len(found.entered) - stuck),
        (semconv.ACTIVE_REQUESTS, stuck),
        (semconv.INSTRUMENTATION_ERRORS, 0),
        (semconv.ANOMALIES, 0),
    ):
        if reported.total(metric) != expected:
            found.failures.append(f"{metric.name}: {reported.total(metric):g}, expected {expected}")


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


def _read(telemetry: Telemetry, *, by_snapshot: bool) -> Reading:
    asked = time.monotonic()
    if by_snapshot:
        pools = snapshot().pools
        phases = Counter(request.phase for pool in pools for request in pool.requests)
        states = [each.state for pool in pools for each in pool.connections]
        established = sum(state != "connecting" for state in states)
    else:
        reported = Collection(telemetry.reader)
        phases = reported.by(semconv.REQUEST_CURRENT, "phase")
        established = int(reported.total(semconv.OPEN_CONNECTIONS))
    return Reading(asked, time.monotonic(), phases, established)
