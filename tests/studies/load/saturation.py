"""More requests than connections or streams: checks that readings report who waits.

``--seconds`` is the length of each load, of which each library, mode and way has two.
Readings are taken from another thread at random moments, of the metrics and of the snapshot in
turn. A reading is wrong in either of two cases:

- More requests are in phases that hold a connection (on HTTP/2: a stream) than there are.
- It has no waiting request, although the study's own count of requests without a connection was
  above 0 from 50 ms before the reading to 50 ms after it.
"""

import bisect
import contextlib
import itertools
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.figures import Figures
from studies.load.command import Command, started
from studies.load.reading import HOLDING, Collection
from studies.load.servers import Origin, origins
from studies.load.truth.rounds import MODES
from studies.load.truth.world import HTTP2
from support.clients import PoolUnderTest, Runner
from support.installation import instrumented
from support.libraries import Library
from support.network import Certificates
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import PATIENCE

LOADS = ((50, 20), (120, 50))
"""Workers, and the connections or streams that they share."""
MARGIN = 0.05
"""A request has to wait for this long before and after a reading, for the reading to be wrong."""
WAITING = ("queued", "connecting", "stream_queued")
WAYS = {
    "direct": "plain",
    "forward proxy": "plain",
    "HTTP/1.1 agreed, HTTP/2 offered": "tls",
    "HTTP/2": "http2 cleartext",
}
"""How a server is reached, and its kind. aiohttp and urllib3 have the first two ways."""


@dataclass(slots=True)
class Load:
    """One library under one load: the readings, and the study's own records."""

    name: str
    places: int
    readings: list[tuple[float, float, Counter[str], int]] = field(default_factory=list)
    """Begin, end, requests by phase, and how many connections or streams there are."""
    entered: dict[str, float] = field(default_factory=dict)
    """When each request was handed to its library, by its path."""
    served: dict[str, float] = field(default_factory=dict)
    """When its server received it (it had a connection by then), or when it failed before that."""
    errors: Counter[str] = field(default_factory=Counter)
    """Requests that failed in their library."""
    broken: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """The wrong readings."""
        changes = [(at, 1) for at in self.entered.values()]
        changes = sorted(changes + [(at, -1) for at in self.served.values()])
        times = [at for at, _ in changes]
        # The study's own count of requests without a connection, from each of these times on.
        counts = list(itertools.accumulate(change for _, change in changes))
        found = []
        for begin, end, phases, places in self.readings:
            first = bisect.bisect_right(times, begin - MARGIN) - 1
            last = bisect.bisect_right(times, end + MARGIN)
            waited = first >= 0 and min(counts[first:last]) > 0
            none_waits = waited and not sum(phases[phase] for phase in WAITING)
            if sum(phases[phase] for phase in HOLDING) > places or none_waits:
                found.append(f"{dict(phases)} over {places}, waiting: {waited}")
        return found

    def report(self, reported: Collection, stuck: int) -> None:
        """Print the counts, and check that the package counted each request."""
        self.errors["stuck"] += stuck
        over = len(self.entered) - stuck
        for metric, expected in (
            (semconv.REQUESTS, over),
            (semconv.LEASE_DURATION, over),
            (semconv.ACTIVE_REQUESTS, stuck),
            (semconv.INSTRUMENTATION_ERRORS, 0),
            (semconv.ANOMALIES, 0),
        ):
            if (total := reported.total(metric)) != expected:
                self.broken.append(f"{self.name}: {metric.name} {total:g}, expected {expected}")
        wrong = self.wrong()
        print(
            f"{self.name}: {len(self.entered)} requests, {self.errors.total()} failed; "
            f"{len(self.readings)} readings, {len(wrong)} wrong",
            *(f"  wrong: {reading}" for reading in wrong),
            sep="\n",
            flush=True,
        )


def run_load(
    library: str, mode: str, way: str, load: tuple[int, int], seconds: float, seed: int
) -> Load:
    """Let workers share a pool for ``seconds``, and take readings at random moments."""
    workers, places = load
    found = Load(f"{library} {mode}, {way}, {workers} over {places}", places)
    kind, loaded, certificates = WAYS[way], Library.load(library), Certificates.make()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(origins(certificates, kind))[kind]
        telemetry = stack.enter_context(instrumented())
        runner = stack.enter_context(Runner.start(mode))
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
        work = found, pool, runner, origin, deadline
        names = [f"{seed}/{number}" for number in range(workers)]
        threads = [started(name, _work, *work, name) for name in names]
        chance = random.Random(f"{seed} {found.name}")
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(0.005, 0.05))
            begin = time.monotonic()
            phases, established = (_of_snapshot, _of_metrics)[len(found.readings) % 2](telemetry)
            there = places if way == "HTTP/2" else established
            found.readings.append((begin, time.monotonic(), phases, there))
        # On sync HTTP/2 one stream's thread reads for all, so the last ones may never be woken.
        for thread in threads:
            thread.join(max(deadline + PATIENCE + 30 - time.monotonic(), 0.0))
        assert origin.seen is not None
        found.served |= {path: seen.at["request"] for path, seen in origin.seen.requests.items()}
        found.report(Collection(telemetry.reader), sum(thread.is_alive() for thread in threads))
    return found


def _work(
    found: Load, pool: PoolUnderTest, runner: Runner, origin: Origin, deadline: float, name: str
) -> None:
    """Make one request after the other until the deadline."""
    chance = random.Random(name)
    while time.monotonic() < deadline:
        path = f"/{name}/{chance.random()}"
        reply = Reply(head_after=chance.uniform(0.05, 0.4), end_after=chance.uniform(0.0, 0.2))
        url = origin.url(path, reply)
        found.entered[path] = time.monotonic()
        try:
            if runner.portal is None:
                pool.call(url)
            else:
                runner.portal.call(pool.fetch, url)
        except Exception as error:
            found.errors[type(error).__name__] += 1
            found.served[path] = time.monotonic()


def _of_metrics(telemetry: Telemetry) -> tuple[Counter[str], int]:
    reported = Collection(telemetry.reader)
    established = int(reported.total(semconv.OPEN_CONNECTIONS))
    return reported.by(semconv.REQUEST_CURRENT, "phase"), established


def _of_snapshot(_: Telemetry) -> tuple[Counter[str], int]:
    pools = snapshot().pools
    phases = Counter(request.phase for pool in pools for request in pool.requests)
    return phases, sum(pool.active + pool.idle for pool in pools)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if no reading is wrong, 1 if one is."""
    parser = Command("saturation", __doc__, seconds=15)
    parser.add_argument("--library", nargs="+", choices=list(MODES), default=list(MODES))
    options = parser.parse(arguments)
    figures = Figures("Readings of full pools", {"seed": options.seed})
    wrong = readings = 0
    for library in options.library:
        ways = list(WAYS) if library in HTTP2 else ["direct", "forward proxy"]
        for mode, way, load in itertools.product(MODES[library], ways, LOADS):
            found = run_load(library, mode, way, load, options.seconds, options.seed)
            wrong += len(found.wrong())
            readings += len(found.readings)
            figures.broken += found.broken
    figures.values |= {"readings": readings, "wrong readings": wrong}
    if wrong:
        figures.broken.append(f"{wrong} of {readings} readings are wrong")
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
