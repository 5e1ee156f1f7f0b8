"""100 000 pools made, used once and dropped; what stays of them must not grow.

Pools of every library over scripted networks. Nobody closes half of them, and half of the requests
belong to any-llm calls.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import urllib3

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from studies.bench import internals
from studies.bench.network import AsyncBackend, Backend, answer
from studies.bench.workload import Combination, Sdk, any_llm_call, client, run
from support.figures import Figures

from .command import Command
from .growth import Growth, Sample, medians

SETTLED: Final = 20_000
"""Pools after which use has become flat."""
_LEAST: Final = 5_000
_ROUNDS: Final = 50
_ALIVE: Final = 100
"""Pools that may be alive after a garbage collection: an event loop may still have work for some
of the latest."""
_BLOCKS_PER_POOL: Final = 0.02
_BOUNDS: Final = {
    "resident": (0.0, 8e6),
    "collection": (0.5, 1.0),
    "garbage": (0.5, 1.0),
    "series": (0.0, 0.0),
}
_NOISE: Final = 1_500
"""Blocks by which two equal looks differ: a set of the interpreter's may have grown between."""
_ANSWER: Final = answer(b"{}")
_URL: Final = "http://api.openai.com/"

Use = Callable[[bool], Awaitable[None]]
"""Makes a pool, uses it for one request, and closes it if asked."""


def _sync(module: str) -> Use:
    core: Any = importlib.import_module(module)
    request = core.Request("GET", _URL, headers=[("Host", "any")])
    backend = Backend(_ANSWER)

    async def use(closed: bool) -> None:
        pool = core.ConnectionPool(max_connections=10, network_backend=backend)
        response = pool.handle_request(request)
        for _part in response.stream:
            pass
        response.close()
        if closed:
            pool.close()

    return use


def _async(module: str) -> Use:
    core: Any = importlib.import_module(module)
    request = core.Request("GET", _URL, headers=[("Host", "any")])
    backend = AsyncBackend(_ANSWER)

    async def use(closed: bool) -> None:
        pool = core.AsyncConnectionPool(max_connections=10, network_backend=backend)
        response = await pool.handle_async_request(request)
        async for _part in response.stream:
            pass
        await response.aclose()
        if closed:
            await pool.aclose()

    return use


async def _aiohttp(closed: bool) -> None:
    session = client(Combination("aiohttp", "async"))
    await session.send_one()
    if closed:
        await session.close()


async def _urllib3(closed: bool) -> None:
    manager = urllib3.PoolManager()
    manager.request("GET", _URL)
    if closed:
        manager.clear()


def _use(name: str) -> Use:
    library, mode = name.split()
    if library == "urllib3":
        importlib.import_module("studies.bench.clients.urllib3_client")  # scripts its sockets
    others = {"aiohttp": _aiohttp, "urllib3": _urllib3}
    return others.get(library) or (_async if mode == "async" else _sync)(library)


KINDS: Final = (
    *("httpcore sync", "httpcore async", "httpcore2 sync", "httpcore2 async"),
    *("aiohttp async", "urllib3 sync"),
)


def churn(
    pools: int,
    kinds: Sequence[str] = KINDS,
    *,
    seconds: float = math.inf,
    show: Callable[[Sample], None] = lambda _: None,
) -> Growth:
    """Make and drop so many pools under the instrumentation, in rounds; look after each."""
    sdk = Sdk()
    growth = Growth(sdk.reader)
    size = pools // _ROUNDS if math.isinf(seconds) else _LEAST // _ROUNDS
    until = time.monotonic() + seconds

    async def main() -> None:
        # aiohttp complains of each session that nobody closed.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        uses = [_use(kind) for kind in kinds]
        for made in range(size, pools + 1, size):
            for number in range(size):
                token = current_call.set(any_llm_call()) if number < size // 2 else None
                await uses[number % len(uses)](bool(number // len(uses) % 2))
                if token is not None:
                    current_call.reset(token)
            show(growth.look(made, lambda: len(internals.installation().registry.trackers)))
            if time.monotonic() > until:
                return

    instrumentor = GlueLLMInstrumentor()
    instrumentor.instrument(
        meter_provider=sdk.meters, tracer_provider=sdk.tracers, scope="all", metrics="full"
    )
    try:
        run("aiohttp", main)
    finally:
        instrumentor.uninstrument()
    return growth


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when everything held, 1 when not."""
    parser = Command("churn", __doc__, seconds=3600, most=86_400)
    parser.add_argument("--pools", type=int, default=100_000, help=f"at least {_LEAST}")
    options = parser.parse(arguments)
    if options.pools < _LEAST:
        parser.error(f"--pools must be at least {_LEAST}")
    seconds = math.inf if options.is_default else options.seconds
    growth = churn(options.pools, seconds=seconds, show=print)
    figures = Figures("Churn: pools made, used once and dropped")
    judge(figures, growth)
    return figures.finish(options.figures)


def judge(figures: Figures, growth: Growth) -> None:
    """Add what the run counted, and what of it grew."""
    samples = growth.samples
    before, after = medians([sample.blocks for sample in samples])
    between = samples[-1].count / 2
    alive = max(sample.alive for sample in samples)
    figures.values |= {
        "pools": samples[-1].count,
        "kinds of pool": len(KINDS),
        "blocks left per pool": round((after - before) / between, 4),
        "most pools alive after a garbage collection": alive,
        **growth.figures("blocks", "resident", "collection", "garbage", "series"),
    }
    bounds = {**_BOUNDS, "blocks": (0.0, _BLOCKS_PER_POOL * between + _NOISE)}
    figures.broken += growth.judge(bounds)
    if alive > _ALIVE:
        figures.broken.append(f"{alive} pools are still known after a garbage collection")


if __name__ == "__main__":
    sys.exit(main())
