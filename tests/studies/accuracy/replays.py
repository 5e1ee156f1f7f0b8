"""Replays loads for other sizes of their pools, and compares with the same loads at these sizes.

``make -C tests/studies replays [ARGS=LOAD]``; exits with 1 if fewer than nine tenths of the values
agree. Each load is an open loop: requests arrive by a schedule made from a seed, whatever happened
to earlier ones, and hold their connections for as long as the schedule says. The load runs once,
and `what_if` replays it for three other sizes; then it runs at each of these, and the waits of the
requests in the real pool are compared with the replayed ones. A p50 and a p95 agree if they differ
by at most 20 % or 50 ms. A run in which another program of the machine made the event loop late for
over 5 % of the time is repeated once.
"""

import json
import logging
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, snapshot, what_if
from studies.figures import Parser
from support.clients import Runner
from support.exchange import Exchange
from support.libraries import Library

SEED = 21
SECONDS = 10.0
LATE = 0.05
SHARE, LEAST = 0.2, 0.05
"""A replayed wait may differ by this share of the measured one, or by so many seconds."""
Schedule = list[tuple[float, float]]
"""When each request arrives, and how long it holds its connection. Seconds."""
Hold = Callable[[random.Random], float]


@dataclass(frozen=True, slots=True)
class Load:
    """A schedule, the client that sends it, and the sizes of the client's pool."""

    name: str
    client: str
    hold: Hold
    rate: float
    """Arrivals per second, on average."""
    burst: int
    """Requests that arrive together; 1 for a steady load."""
    size: int
    others: tuple[int, int, int]

    def schedule(self) -> Schedule:
        """The same schedule at each call."""
        chance = random.Random(f"{SEED} {self.name}")
        found: Schedule = []
        at = 0.0
        while (at := at + chance.expovariate(self.rate / self.burst)) < SECONDS:
            found += [(at + 0.002 * i, self.hold(chance)) for i in range(self.burst)]
        return found


def even(shortest: float, longest: float) -> Hold:
    return lambda chance: chance.uniform(shortest, longest)


def exponential(mean: float) -> Hold:
    return lambda chance: 0.02 + chance.expovariate(1 / (mean - 0.02))


def long_tailed(median: float) -> Hold:
    return lambda chance: min(chance.lognormvariate(math.log(median), 0.8), 3.0)


def two_models(quick: float, slow: float) -> Hold:
    return lambda chance: slow if chance.random() < 0.3 else quick


LOADS = (
    Load("steady", "httpx2", even(0.6, 0.65), 14, 1, 9, (6, 11, 16)),
    Load("steady, exponential", "httpx2", exponential(0.7), 12, 1, 8, (6, 10, 14)),
    Load("bursts of 30", "httpx2", even(0.4, 0.8), 12, 30, 10, (6, 20, 40)),
    Load("two models", "httpx2", two_models(0.3, 1.5), 12, 1, 8, (6, 10, 16)),
    Load("steady, even", "httpx", even(0.3, 1.1), 12, 1, 8, (6, 10, 14)),
    Load("bursts of 15", "httpx", even(0.3, 0.7), 12, 15, 6, (4, 10, 20)),
    Load("steady, long tail", "aiohttp", long_tailed(0.5), 12, 1, 8, (6, 10, 16)),
    Load("bursts of 25", "aiohttp", exponential(0.5), 14, 25, 8, (6, 16, 30)),
    Load("steady, threads", "urllib3", even(0.4, 0.9), 10, 1, 6, (4, 8, 12)),
    Load("bursts of 10, threads", "urllib3", exponential(0.6), 10, 10, 6, (4, 9, 15)),
)


def play(load: Load, size: int, url: str) -> Snapshot:
    """Send the load through a pool of a size, and return a snapshot at its end."""
    sent: list[Exchange] = []
    headers = (("Authorization", "Bearer any"), ("Content-Type", "application/json"))
    with Runner.start("sync" if load.client == "urllib3" else "asyncio") as runner:
        pool = runner.pool(Library.load(load.client), max_connections=size)
        began = time.perf_counter()
        for at, hold in load.schedule():
            time.sleep(max(at - (time.perf_counter() - began), 0.0))
            asked = {"model": f"{hold:.4f}", "messages": [{"role": "user", "content": "hi"}]}
            sent.append(pool.send(url, body=json.dumps(asked).encode(), headers=headers))
            sent[-1].begin_read()
        for exchange in sent:
            exchange.wait()
            assert exchange.head() == 200
        return snapshot()


def played(load: Load, size: int, url: str) -> Snapshot:
    """Play a load, and again if its event loop was late."""
    before = snapshot()
    after = play(load, size, url)
    late = (after.process.event_loop_late or 0.0) - (before.process.event_loop_late or 0.0)
    if late <= LATE * (after.uptime - before.uptime):
        return after
    print(f"{load.name}, {size} connections: played again", file=sys.stderr, flush=True)
    return play(load, size, url)


def compare(load: Load, url: str) -> list[bool]:
    """Play a load at each size. Return whether each wait agrees."""
    recorded = played(load, load.size, url)
    agreed = []
    for size in load.others:
        (found,) = what_if(recorded, max_connections=size)
        (real,) = what_if(played(load, size, url))
        if found.replayed is None or real.recorded is None:
            raise SystemExit(f"{load.name}: {found.reason or real.reason}")
        for name in ("p50", "p95"):
            replayed, measured = getattr(found.replayed, name), getattr(real.recorded, name)
            agreed.append(abs(replayed - measured) <= max(LEAST, SHARE * measured))
            print(
                f"{load.client}, {load.name}, {load.size} -> {size} connections: {name} replayed "
                f"{replayed:.3f}, measured {measured:.3f}{'' if agreed[-1] else ', differs'}",
                flush=True,
            )
    return agreed


def main() -> int:
    """Compare each load, and return the exit status."""
    known = sorted({name for load in LOADS for name in (load.client, load.name)})
    parser = Parser("replays", __doc__)
    parser.add_argument("load", nargs="*", choices=[*known, []], metavar="load", help="or a client")
    names = parser.parse_args().load
    loads = [load for load in LOADS if not names or load.client in names or load.name in names]
    agreed: list[bool] = []
    logging.disable()  # warnings about full pools
    GlueLLMInstrumentor().instrument(scope="all")
    with FakeProviderThread(
        behaviour=lambda request: Behaviour(head_delay=float(request.model or 0))
    ) as provider:
        for load in loads:
            agreed += compare(load, f"{provider.openai_url}/chat/completions")
    print(f"{sum(agreed)} of {len(agreed)} agree (within {SHARE:.0%} or {LEAST * 1000:.0f} ms)")
    return int(sum(agreed) < 0.9 * len(agreed))


if __name__ == "__main__":
    sys.exit(main())
