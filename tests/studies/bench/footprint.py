"""Series and memory of a process by its providers and their origins, and the formula for them.

It prints a row for each number of providers and of origins per provider, with the values of the
formula in docs/deploy.md. With two numbers as arguments it prints that row as JSON. Each origin is
healthy: it answered two requests on one connection. Memory is what the instrumentation and the SDK
hold after a collection, in addition to the same pools without them.
"""

import gc
import json
import sys
import tracemalloc
from pathlib import Path

import httpcore

from opentelemetry.instrumentation.gluellm.concurrency import daemon_thread
from opentelemetry.instrumentation.gluellm.pool.call import Call
from studies.talking import ran

from .pools import a_pool, send
from .workload import OFF, OURS, observed, series_of

OF_THE_PROCESS = 5
"""Dropped records, missing hooks of any-llm, and two of event loops. Failures have no series until
the first one."""
OF_A_PROVIDER = 24
OF_AN_ORIGIN = 77
"""Series of one provider towards one origin: its three histograms are 46 of them."""
BYTES_OF_A_SERIES = 1800
"""An upper bound. The small processes come closest, since their fixed costs are in it."""
_TESTS = Path(__file__).parents[2]
GRID = ((1, 1), (5, 1), (20, 1), (1, 5), (1, 20), (5, 4))


def series(providers: int, origins: int) -> int:
    """The formula: series of a healthy process with httpx alone, ``origins`` of each provider."""
    return OF_THE_PROCESS + 1 + providers * (OF_A_PROVIDER + origins * OF_AN_ORIGIN)


def _use(providers: int, origins: int) -> list[httpcore.ConnectionPool]:
    pools = []
    for provider in range(providers):
        pools.append(a_pool(max_connections=100, max_keepalive_connections=50))
        for origin in range(origins):
            for _ in range(2):
                call = Call(f"provider{provider}", "some-model", "chat")
                send(pools[-1], f"api{origin}.example.com", call)
    return pools


def _held(what: str, providers: int, origins: int) -> tuple[int, int]:
    """Bytes that the pools and their instrumentation hold, and the number of collected series."""
    sdk = observed(what)
    if what == OURS:
        sdk.reader.get_metrics_data()
    daemon_thread(lambda: None, name="never started")  # imports modules, which shouldn't count
    gc.collect()
    tracemalloc.start()
    pools = _use(providers, origins)
    found = sum(series_of(point) for _, point in sdk.points()) if what == OURS else 0
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for pool in pools:
        pool.close()
    return held, found


def measure(providers: int, origins: int) -> dict[str, int]:
    """Measure in a new process, so that nothing remains of an earlier run."""
    command = [sys.executable, "-m", "studies.bench.footprint", str(providers), str(origins)]
    found: dict[str, int] = json.loads(ran(*command, cwd=_TESTS))
    return found


def _main() -> None:
    if len(sys.argv) == 3:
        providers, origins = map(int, sys.argv[1:])
        without, _ = _held(OFF, providers, origins)
        with_it, found = _held(OURS, providers, origins)
        print(json.dumps({"series": found, "bytes": with_it - without}))
        return
    print("providers  origins of each   series  formula      kB  bytes per series")
    for providers, origins in GRID:
        found = measure(providers, origins)
        print(
            f"{providers:9}  {origins:15}  {found['series']:7}  {series(providers, origins):7}"
            f"  {found['bytes'] / 1000:6.0f}  {found['bytes'] / found['series']:16.0f}"
        )


if __name__ == "__main__":
    _main()
