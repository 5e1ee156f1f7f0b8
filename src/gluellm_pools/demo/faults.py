"""What applications do wrong, done on purpose beside an act's traffic.

A fault gets the load, with which it ends, and a stack for what undoes its effects after the act.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from .load import Load, complete, read_stream
from .targets import CONNECTIONS, HTTP2, MAX_STREAMS, MESSAGES, MODEL, OPENAI, QUICK, SILENT

Fault = Callable[[Load, AsyncExitStack], Coroutine[Any, Any, None]]

_POLL = 0.02
_PATIENCE = 5.0
"""Seconds to wait for a request to arrive at the provider."""
_ANSWERS, _HANGS = 2.0, 3.0
"""Seconds in which the provider answers, then those in which it hangs. These are fewer than the
client's own timeout, so that callers give up before it."""
_SHORTEST_WAIT = 0.1
"""Seconds in which waiting callers enter the queue for a stream, also on a busy machine."""
_STALLED_STREAMS = 3
_STREAM_CALLERS = 3
_STREAM_WAITERS = 2
_BLOCK, _FREE = 0.3, 0.2
"""Seconds in which the event loop is blocked, and in which it runs."""


async def no_fault(_load: Load, _effects: AsyncExitStack) -> None:
    """Cause no fault."""


async def abandon_streams(load: Load, effects: AsyncExitStack) -> None:
    """Don't read streams to their end, until they hold every connection of the pool."""
    abandoned, most = 0, CONNECTIONS[OPENAI]
    while not load.ended() and abandoned < most:
        abandon = _break_off if abandoned % 2 else _never_read
        abandoned += await load.call(OPENAI, partial(abandon, effects))
        await asyncio.sleep(_POLL)
    load.explains = abandoned >= most


async def _never_read(effects: AsyncExitStack, client: Any) -> None:
    stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True)
    effects.push_async_callback(stream.aclose)


async def _break_off(effects: AsyncExitStack, client: Any) -> None:
    stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True)
    effects.push_async_callback(stream.aclose)
    async for _ in stream:
        break


async def read_stalled_streams(load: Load, effects: AsyncExitStack) -> None:
    """Wait for items of stalled streams until the act ends."""
    for _ in range(_STALLED_STREAMS):
        caller = asyncio.create_task(load.call(OPENAI, read_stream))
        effects.push_async_callback(asyncio.wait, [caller])
        effects.callback(caller.cancel)


async def give_up_streams(load: Load, effects: AsyncExitStack) -> None:
    """Give up calls over HTTP/2 while the provider hangs, so that their streams stay taken.

    It answers, hangs, and then would answer again.
    """
    effects.push_async_callback(load.http_clients[HTTP2].aclose)
    provider = load.providers[HTTP2]
    hangs = time.monotonic() + _ANSWERS
    await load.call_until(lambda: time.monotonic() >= hangs or load.ended(), HTTP2, _STREAM_CALLERS)
    hung = time.monotonic() + _HANGS
    provider.behaviour = SILENT
    arrived = provider.counts.requests
    limits: list[asyncio.Timeout] = []

    async def give_up(client: Any) -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await complete(client)

    async with asyncio.TaskGroup() as group:
        for _ in range(MAX_STREAMS):
            group.create_task(load.call(HTTP2, give_up))
        # A request that is given up before it arrives would never reach the provider, and no metric
        # distinguishes the two.
        await _until(lambda: provider.counts.requests >= arrived + MAX_STREAMS)
        for _ in range(_STREAM_WAITERS):
            group.create_task(load.call(HTTP2, complete))
        await asyncio.sleep(max(hung - time.monotonic(), _SHORTEST_WAIT))
        provider.behaviour = QUICK
        for limit in limits:
            limit.reschedule(asyncio.get_running_loop().time())
    await load.call_until(load.ended, HTTP2, _STREAM_CALLERS)


async def block_loop(load: Load, _effects: AsyncExitStack) -> None:
    """Do work that belongs into a thread in the event loop, again and again."""
    while not load.ended():
        # First: a block before the first request has no effect.
        await asyncio.sleep(_FREE)
        time.sleep(_BLOCK)  # noqa: ASYNC251


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, and go on without it after a while."""
    given_up = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < given_up:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
