"""Providers of each library that use the fake one, and the limits of their pools."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import aiohttp
import any_llm
import httpcore
import httpcore2
import urllib3

from opentelemetry.instrumentation.gluellm.adapters.marks import LIMITS_FROM, POOL_TIMEOUT
from support.fake_llms import MODEL
from support.providers import arguments_at

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}

_RETRIES = frozenset({"anthropic", "deepseek", "fireworks", "groq", "openai"})
"""Providers whose SDK retries failed requests by default."""


def create(provider: str, origin: str, **more: Any) -> Any:
    """Create the provider's instance, with an invalid key."""
    arguments = {**arguments_at(provider, origin), **more}
    if provider in _RETRIES:
        arguments.setdefault("max_retries", 0)
    return any_llm.AnyLLM.create(provider, **arguments)


async def call(llm: Any, **more: Any) -> Any:
    """Make one chat call."""
    return await llm.acompletion(**CHAT, **more)


def call_at_once(llm: Any, times: int) -> list[Any]:
    """Make concurrent calls, none of which may fail."""
    with many_threads() as run:
        return run(gathered(llm, times))


async def gathered(llm: Any, times: int) -> list[Any]:
    return await asyncio.gather(*(call(llm) for _ in range(times)))


@contextlib.contextmanager
def many_threads() -> Iterator[Callable[[Any], Any]]:
    """Yield a function that runs coroutines on a loop with enough threads for botocore's calls."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(32) as executor:
        runner.get_loop().set_default_executor(executor)
        yield runner.run


KINDS = (
    httpcore.AsyncConnectionPool,
    httpcore2.AsyncConnectionPool,
    aiohttp.BaseConnector,
    urllib3.HTTPConnectionPool,
    urllib3.PoolManager,
)


@contextmanager
def built() -> Iterator[list[Any]]:
    """Collect the pools that the block builds, in any order."""
    gc.collect()
    before = weakref.WeakSet(_alive())
    found: list[Any] = []
    yield found
    found += [pool for pool in _alive() if pool not in before]


def _alive() -> list[Any]:
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(type(thing), type) and issubclass(type(thing), KINDS)
    ]


def maximum(pool: Any) -> int | None:
    """Return the pool's limit of connections. None for a pool of urllib3 that doesn't block."""
    if isinstance(pool, urllib3.PoolManager):
        keywords = pool.connection_pool_kw
        return keywords["maxsize"] if keywords.get("block") else None
    if isinstance(pool, urllib3.HTTPConnectionPool):
        return pool.pool.maxsize if pool.block else None
    return pool.limit if isinstance(pool, aiohttp.BaseConnector) else pool._max_connections


def limits_from(pool: Any) -> str | None:
    return getattr(pool, LIMITS_FROM, None)


def pool_timeout(pool: Any) -> float | None:
    return getattr(pool, POOL_TIMEOUT, None)
