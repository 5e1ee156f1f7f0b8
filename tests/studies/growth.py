"""CPU time against size: nothing may grow with the product of two sizes.

Each row does a number of things beside as many others, so a constant cost of each has a slope of 1.
The slope is that of the logarithms over the largest decade, where fixed costs are too small to hide
growth. The pools are aiohttp's, whose own costs do not grow, on a scripted network.

The processor's caches are emptied before each measurement. Otherwise a thousand requests are in
them and ten thousand are not, and each of ten thousand costs more although no more is done.
"""

import asyncio
import contextlib
import gc
import itertools
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, use_span

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.attribution.calls import CallScope
from support.installation import installed, instrumented

from .bench import internals
from .bench.clients.aiohttp_client import AsyncClient
from .bench.workload import run
from .figures import Parser

SIZES: Final = (10, 100, 1_000, 10_000)
MOST: Final = 1.1
"""The steepest slope that passes."""
_AT_ONCE = 20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
_MEDIAN_OF = 20
_MORE_THAN_CACHES = bytes(96 << 20)
_ENOUGH = 0.3
"""Seconds of CPU after which a median has enough values, if there are three."""


def _median(work: Callable[[], Any]) -> float:
    took: list[float] = []
    gc.collect()
    while len(took) < 3 or (sum(took) < _ENOUGH and len(took) < _MEDIAN_OF):
        _MORE_THAN_CACHES.count(b"x")
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took)


class _Pools:
    """Saturated pools, whose connections are held by responses that never end."""

    def __init__(self) -> None:
        self.clients: list[AsyncClient] = []
        self._held: list[Any] = []
        self._waiting: list[Coroutine[Any, Any, Any]] = []

    async def build(self, connections: int, waiting: int) -> None:
        """Build one more."""
        self.clients.append(AsyncClient("aiohttp", answer=(_HEAD,), limit=connections))
        for _ in range(connections):
            self._held.append(await self.clients[-1].request())
        self._waiting += self.enter(waiting)

    def enter(self, count: int) -> list[Coroutine[Any, Any, Any]]:
        """Let so many requests wait in the last pool."""
        entered = [self.clients[-1].request() for _ in range(count)]
        for request in entered:
            request.send(None)
        return entered

    def leave(self, requests: Sequence[Coroutine[Any, Any, Any]]) -> None:
        """Cancel waiting requests."""
        for request in requests:
            with contextlib.suppress(asyncio.CancelledError):
                request.throw(asyncio.CancelledError())

    async def close(self) -> None:
        """End everything."""
        self.leave(self._waiting)
        for response in self._held:
            response.close()
        for client in self.clients:
            await client.close()


Row = Callable[[_Pools, int], float]


def _passes(_pools: _Pools, _size: int) -> float:
    return _median(installed()._watch.run_pass)


def _entries(pools: _Pools, size: int) -> float:
    return _median(lambda: pools.leave(pools.enter(_AT_ONCE))) / _AT_ONCE * size


def _snapshots(_pools: _Pools, _size: int) -> float:
    return _median(snapshot)


def _diagnoses(_pools: _Pools, _size: int) -> float:
    found = snapshot()
    return _median(lambda: diagnose(found))


def _calls(pools: _Pools, size: int) -> float:
    """Calls without a request, beside requests that ended before them."""

    class Provider:
        PROVIDER_NAME = "openai"

        def completion(self, model: str, **_: Any) -> str:
            return model

    scope = CallScope(print, calls=installed().registry.calls)
    completion = scope.around(Provider.completion, "chat")
    provider = Provider()

    def calls() -> None:
        for _ in range(_AT_ONCE):
            with use_span(next(spans)):
                completion(provider, "gpt-5")

    pools.leave(pools.enter(1))
    internals.fill([*internals.outbox().items], size)
    tracer = TracerProvider().get_tracer("program")
    # Started before the calls, whose cost they would hide.
    count = _MEDIAN_OF * _AT_ONCE
    spans = iter([tracer.start_span("chat", kind=SpanKind.CLIENT) for _ in range(count)])
    return _median(calls) / _AT_ONCE * size


ROWS: Final[dict[str, tuple[Callable[[int], tuple[int, int, int]], Row]]] = {
    "a pass of the watch: connections, and as many waiting": (lambda n: (1, n, n), _passes),
    "entries of waiting requests, beside as many": (lambda n: (1, 1, n), _entries),
    "ends of calls in a CLIENT span, beside a full outbox": (lambda n: (1, 1, 1), _calls),
    "snapshot(): waiting requests": (lambda n: (1, 1, n), _snapshots),
    "diagnose(): waiting requests": (lambda n: (1, 1, n), _diagnoses),
    "snapshot(): saturated pools": (lambda n: (n, 1, 1), _snapshots),
    "diagnose(): saturated pools": (lambda n: (n, 1, 1), _diagnoses),
}
"""Pools, connections and waiting requests of each by size, and what is measured."""


def measured(what: str, size: int) -> float:
    """Seconds of CPU of one row at one size."""
    shape, row = ROWS[what]
    count, connections, waiting = shape(size)
    found = 0.0

    async def main() -> None:
        nonlocal found
        pools = _Pools()
        for _ in range(count):
            await pools.build(connections, waiting)
        found = row(pools, size)
        await pools.close()

    gc.disable()
    internals.leave_out_what_runs_by_the_clock()
    with instrumented():
        internals.outbox().capacity = 10 * max(SIZES)
        run("aiohttp", main)
    return found


def judged(pools: int, waiting: int, minutes: int) -> tuple[float, float]:
    """Return a judgement's seconds of CPU, and the longest delay of the loop during judgements.

    Requests wait in the last of the saturated pools. In each of the minutes, some requests end.
    """
    took: list[float] = []
    late = 0.0

    async def main() -> None:
        nonlocal late
        saturated, account = _Pools(), installed()._watch.account
        for number in range(pools):
            await saturated.build(1, waiting if number == pools - 1 else 0)
        account.row = 0  # each look ends a minute
        for _ in range(minutes):
            saturated.leave(saturated.enter(_AT_ONCE))
            account.look()

        def judge() -> None:
            began = time.thread_time()
            diagnose(snapshot())
            took.append(time.thread_time() - began)

        for _ in range(3):
            judging = asyncio.ensure_future(asyncio.to_thread(judge))
            while not judging.done():
                began = time.perf_counter()
                await asyncio.sleep(0.001)
                late = max(late, time.perf_counter() - began - 0.001)
        await saturated.close()

    internals.leave_out_what_runs_by_the_clock()
    with instrumented():
        internals.outbox().capacity = 10 * max(SIZES)
        run("aiohttp", main)
    return statistics.median(took), late


def slope(took: Sequence[float]) -> float:
    """The exponent by which the time grew over the last of the steps in size."""
    return math.log(took[-1] / took[-2]) / math.log(SIZES[-1] / SIZES[-2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. Return 1 if a slope is too steep."""
    parser = Parser("growth", __doc__)
    parser.add_argument("--only", default="", help="the rows that contain this text")
    judgement = "instead: a judgement, by pools, waiting requests and minutes of the account"
    parser.add_argument("--judgement", action="store_true", help=judgement)
    options = parser.parse_args(arguments)
    only = options.only
    if options.judgement:
        print("   pools  waiting  minute  ms of CPU  ms late")
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            for case in itertools.product((1, 100, 1_000), (0, 200, 1_000, 4_000), (1, 60)):
                cpu, late = pool.apply(judged, case)
                numbers = "{:8,} {:8,} {:7}".format(*case)
                print(f"{numbers} {1e3 * cpu:10.1f} {1e3 * late:8.1f}", flush=True)
        return 0
    print(f"{'ms of CPU':55}" + "".join(f"{size:>10,}" for size in SIZES) + "     slope")
    steep = False
    # Each value in a process of its own, which ends without freeing ten thousand requests.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for what in (row for row in ROWS if only in row):
            took = [pool.apply(measured, (what, size)) for size in SIZES]
            steep |= slope(took) > MOST
            times = "".join(f"{1e3 * each:10.2f}" for each in took)
            verdict = "" if slope(took) <= MOST else f"  over {MOST}"
            print(f"{what:55}{times}{slope(took):10.2f}{verdict}", flush=True)
    return int(steep)


if __name__ == "__main__":
    sys.exit(main())
