"""Pools of every library over scripted networks: made, used for one request, and dropped."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from studies.bench.network import AsyncBackend, Backend, answer
from studies.bench.workload import Combination, any_llm_call, client

_ANSWER: Final = answer(b"{}")
_URL: Final = "http://api.openai.com/"
_HEADERS: Final = [("Host", "any")]

Use = Callable[[bool], Awaitable[None]]
"""Makes a pool, uses it for one request, and closes it or not, as told."""


def _sync(core: Any) -> Use:
    backend, request = Backend(_ANSWER), core.Request("GET", _URL, headers=_HEADERS)

    async def use(closed: bool) -> None:
        pool = core.ConnectionPool(max_connections=10, network_backend=backend)
        response = pool.handle_request(request)
        for _part in response.stream:
            pass
        response.close()
        if closed:
            pool.close()

    return use


def _async(core: Any) -> Use:
    backend, request = AsyncBackend(_ANSWER), core.Request("GET", _URL, headers=_HEADERS)

    async def use(closed: bool) -> None:
        pool = core.AsyncConnectionPool(max_connections=10, network_backend=backend)
        response = await pool.handle_async_request(request)
        async for _part in response.stream:
            pass
        await response.aclose()
        if closed:
            await pool.aclose()

    return use


def _aiohttp() -> Use:
    async def use(closed: bool) -> None:
        session = client(Combination("aiohttp", "async"))
        await session.send_one()
        if closed:
            await session.close()

    return use


def _urllib3() -> Use:
    importlib.import_module("studies.bench.clients.urllib3_client")  # which scripts its sockets

    async def use(closed: bool) -> None:
        manager = urllib3.PoolManager()
        manager.request("GET", _URL)
        if closed:
            manager.clear()

    return use


@dataclass(frozen=True, slots=True)
class Kind:
    """Pools of one library, of one kind."""

    name: str
    make: Callable[[], Use]


def _core(module: str, make: Callable[[Any], Use]) -> Callable[[], Use]:
    return lambda: make(importlib.import_module(module))


KINDS: Final = (
    Kind("httpcore sync", _core("httpcore", _sync)),
    Kind("httpcore async", _core("httpcore", _async)),
    Kind("httpcore2 sync", _core("httpcore2", _sync)),
    Kind("httpcore2 async", _core("httpcore2", _async)),
    Kind("aiohttp async", _aiohttp),
    Kind("urllib3 sync", _urllib3),
)


async def use_many(uses: list[Use], count: int, *, attributed: bool) -> None:
    """So many pools, of each kind in turn. Half of each kind are closed by nobody."""
    for number in range(count):
        use = uses[number % len(uses)]
        closed = bool(number // len(uses) % 2)
        if not attributed:
            await use(closed)
            continue
        token = current_call.set(any_llm_call())
        await use(closed)
        current_call.reset(token)
