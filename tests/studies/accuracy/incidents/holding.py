"""Pools: their size, who holds their connections, and HTTP/2."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from gluellm_pools.demo.load import client_library

from ..app import ANTHROPIC, CLAUDE, MODEL, OPENAI, USUAL, App, ask, within

_QUESTION: list[Any] = [{"role": "user", "content": "Write the weekly report."}]


async def stream_leaked(app: App) -> None:
    """A release stops reading streams at the first sentence and keeps them: each holds its
    connection, until the pool of 10 is full."""
    _, client = app.served(OPENAI, direct=True, http_client=app.http(OPENAI, 10))
    app.arrivals(3, ask(client))
    await app.goes_wrong()

    async def first_sentence() -> None:
        stream = await client.chat.completions.create(model=MODEL, messages=_QUESTION, stream=True)
        app.kept.append(stream)
        async for _ in stream:
            break

    app.callers(1, first_sentence, (1.0, 1.5))


async def stream_never_read(app: App) -> None:
    """A guard rejects some answers after their stream was opened, and drops them unread."""
    _, client = app.served(OPENAI, http_client=app.http(OPENAI, 8))
    app.arrivals(3, ask(client, stream=True))
    await app.goes_wrong()

    async def rejected() -> None:
        await client.acompletion(model=MODEL, messages=_QUESTION, stream=True)

    app.callers(1, rejected, (1.0, 1.5))


async def slow_consumer(app: App) -> None:
    """Each item of a stream is written to a database that became slow: 0.4 s an item."""
    _, client = app.served(OPENAI)
    pace = [0.0]

    async def stored() -> None:
        stream = await client.acompletion(MODEL, messages=_QUESTION, stream=True)
        async for _ in stream:
            await asyncio.sleep(pace[0])

    app.arrivals(2, stored)
    await app.goes_wrong()
    pace[0] = 0.4


async def one_caller_holds(app: App) -> None:
    """A nightly batch starts on the client of the chat: its answers of 20 s hold 18 of the 20
    connections, and the chat waits."""
    long = replace(USUAL, head_delay=20.0)
    provider, client = app.served(OPENAI, direct=True, http_client=app.http(OPENAI, 20))
    provider.behaviour = lambda request: long if request.model == "gpt-4o-report" else USUAL

    async def batch_report() -> None:
        await client.chat.completions.create(model="gpt-4o-report", messages=_QUESTION)

    app.arrivals(4, ask(client, stream=True))
    await app.goes_wrong()
    app.callers(19, batch_report, (0.0, 0.1))


async def pool_too_small(app: App) -> None:
    """A campaign brings three times the traffic, for good; the pool has 4 connections."""
    _, client = app.served(ANTHROPIC, http_client=app.http(ANTHROPIC, 4))
    app.callers(4, ask(client, CLAUDE), (0.5, 1.0))
    await app.goes_wrong()
    app.callers(25, ask(client, CLAUDE), (0.0, 1.0))


async def bursts_on_small_pool(app: App) -> None:
    """A job sends 40 requests at once, every few seconds, with a plain HTTP client whose pool has
    5 connections and a pool time-out of 2 s."""
    provider = app.serve()
    http = app.http(OPENAI, 5, timeout=client_library(OPENAI).Timeout(60.0, pool=2.0))
    body = {"model": MODEL, "messages": _QUESTION}

    async def call() -> None:
        await http.post(f"{provider.openai_url}/chat/completions", json=body)

    async def job() -> None:
        await asyncio.gather(*(call() for _ in range(40)), return_exceptions=True)

    app.callers(3, call)
    await app.goes_wrong()
    app.callers(1, job, (2.0, 4.0))


async def client_per_call(app: App) -> None:
    """A release calls any-llm's function instead of a kept instance: a client for each call."""
    import any_llm

    provider = app.serve()
    app.arrivals(3, ask(app.any_llm(OPENAI, provider.openai_url)))
    by_function = partial(any_llm.acompletion, provider=OPENAI, api_key="key")
    await app.goes_wrong()
    app.arrivals(4, partial(by_function, MODEL, messages=_QUESTION, api_base=provider.openai_url))


async def http2_limit_lowered(app: App) -> None:
    """After a restart the provider allows 2 streams on a connection instead of 100, and the calls
    wait for them. (httpcore2 keeps the reset connection as well: a limit of 1 would hang for good.)
    """
    provider = app.serve(http2=True)
    http = app.http(OPENAI, 2, http1=False, http2=True)
    client = app.any_llm(OPENAI, provider.openai_url, http_client=http)
    app.arrivals(4, ask(client))
    await app.goes_wrong()
    provider.max_streams = 2
    await provider.call(provider.drop(reset=True))


async def http2_streams_orphaned(app: App) -> None:
    """A part of the answers takes long, users leave after 1 s, and over HTTP/2 their streams stay
    taken at the provider, which allows 24."""
    provider = app.serve(http2=True, max_streams=24)
    http = app.http(OPENAI, 1, http1=False, http2=True)
    client = app.sdk(OPENAI, provider.openai_url, http_client=http)
    app.arrivals(3, within(1.3, ask(client), TimeoutError))
    await app.goes_wrong()
    provider.behaviour = app.some(0.4, replace(USUAL, head_delay=300.0))
