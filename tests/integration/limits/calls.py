"""Providers of each library, pointed at the fake one, and the limits that their pools go by."""

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
"""Providers whose SDK repeats a failed request by itself, unless told not to."""


def create(provider: str, origin: str, **more: Any) -> Any:
    """The provider's instance, with a key that opens nothing."""
    arguments = {**arguments_at(provider, origin), **more}
    if provider in _RETRIES:
        arguments.setdefault("max_retries", 0)
    return any_llm.AnyLLM.create(provider, **arguments)


async def call(llm: Any, **more: Any) -> Any:
    """One chat."""
    return await llm.acompletion(**CHAT, **more)


def call_at_once(llm: Any, times: int) -> list[Any]:
    """So many calls at the same time, none of which may fail."""
    with many_threads() as run:
        return run(gathered(llm, times))


async def gathered(llm: Any, times: int) -> list[Any]:
    return await asyncio.gather(*(call(llm) for _ in range(times)))


@contextlib.contextmanager
def many_threads() -> Iterator[Callable[[Any], Any]]:
    """Runs coroutines on one loop, whose executor is no bound: botocore's calls run in it."""
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
    """The pools that come into the world meanwhile, in no order."""
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
    """How many connections it may have; for urllib3 None where it doesn't block."""
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
