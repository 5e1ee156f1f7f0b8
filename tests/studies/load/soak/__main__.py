"""Half an hour of mixed load with every kind of fault, in several event loops and threads.

Memory, descriptors, threads and series must not grow. The package must raise no exception, each
request must end as its library allows, no worker may hang, and nothing may be left at the end.
"""

import contextlib
import faulthandler
import gc
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.figures import Figures
from studies.load.command import Command, started
from studies.load.growth import Growth
from studies.load.reading import Collection
from support.installation import installed
from support.waiting import wait_until

from .actions import Worker
from .clients import EXPECTED, Servers, running, serving
from .disturbances import Disturbances, Sdk
from .held import blocks_of_histories
from .record import Listening, Record

_LLMS: Final = ("any-llm openai", "any-llm anthropic")
_GROUPS: Final = {
    "asyncio": ("httpx", "httpx2", "aiohttp", *_LLMS, "grpc"),
    "uvloop": ("httpx2", "aiohttp", "any-llm openai"),
    "trio": ("httpx", "httpx2"),
    "sync": ("httpx", "httpx2", "urllib3", "grpc", "any-llm openai"),
}
"""The libraries whose workers share an event loop; those of ``sync`` use threads only."""
_LOOP_LASTS: Final = (8.0, 25.0)
_SAMPLES: Final = 60
_HANGS_AFTER: Final = 60.0
"""Seconds after which an action hangs: the run fails, and prints the stacks of all threads."""
_PATIENCE: Final = 30.0
"""Seconds to wait for all to end; the watch's thread ends 11 s after the last request."""
_LONG: Final = 120.0
"""Seconds from which a run is long enough to judge growth and to require each action."""
_FLAT: Final = {
    # The allocator returns little of a peak's memory.
    "resident": (0.06, 12e6),
    "blocks": (0.03, 45_000.0),
    "descriptors": (0.3, 40.0),
    "threads": (0.3, 10.0),
}
_MOST_SETS: Final = 1500
"""The contract's limit: attribute sets of an instrument, for the life of the process."""
_SERIES_OF_ORIGIN: Final = 230
"""Series of a pool's name with one origin after every failure (docs/maintainers/performance.md)."""
_PACKAGE: Final = "opentelemetry.instrumentation.gluellm"
_KEPT: Final = ("Lease", "PoolTracker", "TrackedConnection", "Installation")
"""Classes of which no object may be left at the end."""
_FEW: Final = 20
"""Objects of a class that may be kept while the instrumentation is on: the log of leaks keeps the
longest-held lease of each call site."""


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all checks passed, 1 if not."""
    parser = Command("soak", __doc__, seconds=1800)
    options = parser.parse(arguments)
    random.seed(options.seed)
    figures = Figures("Soak: every kind of fault at once", {"seed": options.seed})
    record = Record(options.seed)
    with serving() as (servers, collector):
        sdk = Sdk(collector)
        Listening(record, EXPECTED)
        sdk.instrument()
        growth = Growth(sdk.reader, partial(blocks_of_histories, installed().registry.ledgers))
        began = time.monotonic()
        _run(record, servers, sdk, growth, options.seconds)
        seconds = time.monotonic() - began
        # Exporters have pools as well, which live as long as they do.
        sdk.end_exports()
        figures.broken += _after(record, sdk, growth, seconds)
        GlueLLMInstrumentor().uninstrument()
        if not _wait(lambda: not _threads("gluellm")):
            figures.broken.append(f"threads of the package are left: {_threads('gluellm')}")
        if kept := _kept():
            figures.broken.append(f"objects of the package are left: {kept}")
        sdk.meters.shutdown()
        faulthandler.cancel_dump_traceback_later()
    figures.values |= {
        "minutes": round(seconds / 60, 2),
        **{f"requests by {name}": n for name, n in sorted(record.requests.items())},
        **{f"did: {name}": n for name, n in sorted(record.done.items())},
        **growth.figures("resident", "blocks", "descriptors", "threads", "series"),
        "most attribute sets of an instrument": growth.most_sets,
        **{f"ended: {name}": n for name, n in sorted(record.endings.items())},
    }
    return figures.finish()


def _run(record: Record, servers: Servers, sdk: Sdk, growth: Growth, seconds: float) -> None:
    """Run all workers for ``seconds``. Ctrl-C ends the run early."""
    disturbances = Disturbances(record, sdk)

    def look() -> None:
        while not record.over.wait(max(0.75, seconds / _SAMPLES)):
            # Both would grow for most of the run.
            servers.remembered.clear()
            disturbances.previous = None
            growth.look(record.requests.total())

    growth.look(0)
    until = time.monotonic() + seconds
    threads = [started("disturbances", disturbances.run), started("samples", look)]
    for group, names in _GROUPS.items():
        workers = [Worker(record, servers, group, name) for name in names]
        threads.append(started(group, _live, record, group, workers))
    while any(thread.is_alive() for thread in threads):
        still, action = record.slowest()
        if still < _HANGS_AFTER:  # faulthandler ends the program unless this is repeated
            faulthandler.dump_traceback_later(2 * _HANGS_AFTER, exit=True)
        elif still < _HANGS_AFTER + 1:
            print(f"FAILED: nothing for {still:.0f} s in {action}", flush=True)
            faulthandler.dump_traceback_later(1, exit=True)
        try:
            # Signals are sent to this thread.
            disturbances.in_main_thread()
            time.sleep(0.1)
        except KeyboardInterrupt:
            record.over.set()
        if time.monotonic() > until:
            record.over.set()


def _live(record: Record, group: str, workers: list[Worker]) -> None:
    """Run the same workers in one event loop after the other, each for some seconds."""
    rng = record.source(group)
    while not record.over.is_set():
        with running(group) as runner:
            until = time.monotonic() + rng.uniform(*_LOOP_LASTS)
            for thread in [started(each.name, each.work, runner, until) for each in workers]:
                thread.join()


def _after(record: Record, sdk: Sdk, growth: Growth, seconds: float) -> list[str]:
    """The checks that failed, once all workers have ended."""
    broken = growth.judge(_FLAT) if seconds >= _LONG else []
    gone = _wait(lambda: not gc.collect() * 0 + len(snapshot().pools))
    reported, pairs = Collection(sdk.reader), len(growth.pairs)
    kept = {name: count for name, count in _kept().items() if count > _FEW}
    most = max(sample.series for sample in growth.samples)
    idle = _wait(lambda: not _threads("gluellm-pool-watch"))
    errors = reported.by(semconv.INSTRUMENTATION_ERRORS, "failure")
    in_flight = reported.by(semconv.REQUEST_CURRENT, "phase")
    checks = {
        **{f"an exception of the package: {what}": True for what in record.ours[:20]},
        **{f"unexpected end of a request: {what}": True for what in record.unexpected[:20]},
        f"actions that never ran: {record.missing}": record.missing and seconds >= _LONG,
        f"pools are left: {[pool.name for pool in snapshot().pools]}": not gone,
        f"objects of the package are kept without pools: {kept}": kept,
        f"errors of the instrumentation: {dict(errors)}": errors,
        f"requests are still reported: {dict(in_flight)}": in_flight,
        f"{most} series for {pairs} pairs of pool and origin": most > _SERIES_OF_ORIGIN * pairs,
        f"{growth.most_sets} attribute sets": growth.most_sets >= _MOST_SETS,
        f"overflow in {growth.overflowed}": growth.overflowed,
        "the watch still runs although there are no requests": not idle,
    }
    return broken + [what for what, is_broken in checks.items() if is_broken]


def _kept() -> dict[str, int]:
    """Objects of the package that must not be left, by class."""
    gc.collect()
    types = [type(each) for each in gc.get_objects() if type(each).__name__ in _KEPT]
    return Counter(each.__name__ for each in types if str(each.__module__).startswith(_PACKAGE))


def _wait(condition: Callable[[], Any]) -> bool:
    with contextlib.suppress(AssertionError):
        wait_until(condition, timeout=_PATIENCE)
        return True
    return False


def _threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if name in thread.name]


if __name__ == "__main__":
    sys.exit(main())
