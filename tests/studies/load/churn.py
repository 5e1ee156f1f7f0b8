"""Makes 100 000 pools, uses each once and drops it; memory and collection time must stay flat.

The pools are those of every library, over scripted networks. Half of them are never closed, and
half of the requests belong to any-llm calls.
"""

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from studies.bench.clients import urllib3_client
from studies.bench.network import AsyncBackend, Backend, answer
from studies.bench.pools import calling
from studies.bench.workload import Combination, Sdk, client, run
from studies.figures import Figures, Parser
from support.installation import installed

from .growth import Growth, medians
from .soak.held import blocks_of_histories

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
"""Blocks by which samples of the same state differ: a set of the interpreter may have grown."""
_ANSWER: Final = answer(b"{}")
_URL: Final = "http://api.openai.com/"

Use = Callable[[bool], Awaitable[None]]
"""Makes a pool, uses it for one request, and closes it if asked."""


def _core(module: str) -> tuple[Use, Use]:
    core: Any = importlib.import_module(module)

    async def sync(closed: bool) -> None:
        pool = core.ConnectionPool(max_connections=10, network_backend=Backend(_ANSWER))
        pool.request("GET", _URL)
        if closed:
            pool.close()

    async def async_(closed: bool) -> None:
        pool = core.AsyncConnectionPool(max_connections=10, network_backend=AsyncBackend(_ANSWER))
        await pool.request("GET", _URL)
        if closed:
            await pool.aclose()

    return sync, async_


async def _aiohttp(closed: bool) -> None:
    session = client(Combination("aiohttp", "async"))
    await session.send_one()
    if closed:
        await session.close()


async def _urllib3(closed: bool) -> None:
    manager = urllib3_client.urllib3.PoolManager()
    manager.request("GET", _URL)
    if closed:
        manager.clear()


KINDS: Final[dict[str, Use]] = {
    **dict(zip(("httpcore sync", "httpcore async"), _core("httpcore"), strict=True)),
    **dict(zip(("httpcore2 sync", "httpcore2 async"), _core("httpcore2"), strict=True)),
    "aiohttp async": _aiohttp,
    "urllib3 sync": _urllib3,
}


def churn(pools: int, kinds: Sequence[str] = (*KINDS,)) -> Growth:
    """Make and drop pools under the instrumentation, in rounds, and sample after each round."""
    sdk = Sdk()
    growth = Growth(sdk.reader, lambda: blocks_of_histories(installed().registry.ledgers))
    size, uses = pools // _ROUNDS, [KINDS[kind] for kind in kinds]

    async def main() -> None:
        # aiohttp reports each session that was not closed.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for made in range(size, pools + 1, size):
            for number in range(size):
                with calling() if number < size // 2 else contextlib.nullcontext():
                    await uses[number % len(uses)](bool(number // len(uses) % 2))
            print(growth.look(made, lambda: len(installed().registry.trackers)))

    instrumentor = GlueLLMInstrumentor()
    # The judge reports this churn, rightly: its series and what it keeps must be there before the
    # second quarter.
    instrumentor.instrument(
        meter_provider=sdk.meters,
        tracer_provider=sdk.tracers,
        scope="all",
        metrics="full",
        findings_interval=5,
    )
    try:
        run("aiohttp", main)
    finally:
        instrumentor.uninstrument()
    return growth


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all checks passed, 1 if not."""
    parser = Parser("churn", __doc__)
    parser.add_argument("--pools", type=int, default=100_000)
    options = parser.parse_args(arguments)
    growth = churn(options.pools)
    figures = Figures("Churn: pools made, used once and dropped")
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
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
