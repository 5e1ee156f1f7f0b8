"""Situations from outside that were judged wrongly, or about which nothing was found."""

import asyncio
import math
import os
import time
from dataclasses import replace
from typing import Any

from gluellm_pools.fake_provider import Behaviour, ReceivedRequest

from ..app import ANTHROPIC, CLAUDE, MODEL, OPENAI, USUAL, App, ask, within
from .refusals import gluellm_with

_QUESTION: list[Any] = [{"role": "user", "content": "Classify this ticket."}]


async def slow_answers_never_come(app: App) -> None:
    """A gateway on the path forgets requests after 15 s. Answers that come sooner are as quick as
    before; one of eight would take 15 to 28 s, and never comes."""
    provider, client = app.served(OPENAI, direct=True)
    forgets = [math.inf]

    def answer(_: ReceivedRequest) -> Behaviour:
        takes = app.rng.uniform(3, 28) if app.rng.random() < 0.25 else app.rng.uniform(0.5, 3)
        return replace(USUAL, head_delay=takes if takes < forgets[0] else math.inf)

    provider.behaviour = answer
    app.arrivals(3.5, ask(client))
    await app.goes_wrong()
    forgets[0] = 15.0


async def one_model_has_a_tail(app: App) -> None:
    """A quarter of the answers of one of three models take 32 s longer; others are as before."""
    provider, client = app.served(OPENAI, direct=True)
    tail = app.some(0.25, replace(USUAL, head_delay=32.0))

    async def classify() -> None:
        await client.chat.completions.create(model="gpt-5-pro", messages=_QUESTION)

    for model in (MODEL, "gpt-4o"):
        app.arrivals(1, ask(client, model))
    app.arrivals(1, classify)
    await app.goes_wrong()
    provider.behaviour = lambda request: tail(request) if request.model == "gpt-5-pro" else USUAL


async def deadline_too_short(app: App) -> None:
    """A release limits each request of the web server to 8 s, while the answers to its longer
    prompts are read for 10 to 30 s: 97 % of the calls are cancelled at the same age."""
    provider, client = app.served(ANTHROPIC, direct=True)
    app.arrivals(2, within(8.0, ask(client, CLAUDE, stream=True)))
    await app.goes_wrong()
    provider.behaviour = app.some(0.97, replace(USUAL, tokens=150, token_rate=6))


async def streams_stall_for_minutes(app: App) -> None:
    """Half of the streams pause for 3 minutes after their head, and then go on to their end."""
    provider = await app.steady(OPENAI, 1, direct=True, stream=True)
    provider.behaviour = app.some(0.5, replace(USUAL, tokens=1, token_rate=1 / 180))


async def balancer_forgets_idle(app: App) -> None:
    """A new load balancer drops connections that were idle for over 6 s; the client keeps them for
    30 s. What is sent on such a connection is answered by a reset, new ones are well."""
    provider, client = app.served(OPENAI, direct=True, max_retries=0)
    used: dict[int, float] = {}
    drops = [math.inf]

    def answer(request: ReceivedRequest) -> Behaviour:
        last, used[request.connection] = used.get(request.connection, math.inf), time.monotonic()
        idle = time.monotonic() - last > drops[0]
        return replace(USUAL, reset_before_head=idle, head_delay=0.0 if idle else 0.3)

    provider.behaviour = answer
    app.callers(6, ask(client), (3.0, 14.0))
    await app.goes_wrong()
    drops[0] = 7.0


async def two_clients_of_one_name(app: App) -> None:
    """Two modules build clients of one provider. That of the first has 5 connections, and its
    traffic became ten times as much; the other one has 50, and is well."""
    provider, small = app.served(OPENAI, direct=True, http_client=app.http(OPENAI, 5))
    large = app.sdk(OPENAI, provider.openai_url, http_client=app.http(OPENAI, 50))
    app.callers(6, ask(small), (2.0, 6.0))
    app.callers(6, ask(large), (0.5, 1.5))
    await app.goes_wrong()
    app.callers(30, ask(small), (0.0, 1.0))


async def gateway_restarts(app: App) -> None:
    """A gateway restarts every 20 s: it resets its connections, and refuses others for 3 s."""
    provider = await app.steady(ANTHROPIC, 4, direct=True, max_retries=0)
    while True:
        await provider.call(provider.refuse())
        await provider.call(provider.drop(reset=True))
        await asyncio.sleep(3)
        await provider.call(provider.listen())
        await asyncio.sleep(17)


async def batch_holds_most(app: App) -> None:
    """A batch takes 16 of the client's 20 connections for 10 s each, and the chat needs 6."""
    long = replace(USUAL, head_delay=10.0)
    provider, client = app.served(OPENAI, direct=True, http_client=app.http(OPENAI, 20))
    provider.behaviour = lambda request: long if request.model == "gpt-4o-report" else USUAL

    async def batch_report() -> None:
        await client.chat.completions.create(model="gpt-4o-report", messages=_QUESTION)

    app.arrivals(6, ask(client, stream=True))
    await app.goes_wrong()
    app.callers(16, batch_report, (0.0, 0.1))


async def stopped_and_continued(app: App) -> None:
    """The process is stopped for 1.5 s of every 4 s, as by a backup of its container, while its
    loop reads streams."""
    app.arrivals(6, ask(app.sdk(OPENAI, app.serve().openai_url), stream=True))
    await app.goes_wrong()
    again = "while kill -STOP $PPID; do sleep 1.5; kill -CONT $PPID; sleep 2.5; done"
    await asyncio.create_subprocess_exec("sh", "-c", again)


async def code_on_busy_host(app: App) -> None:
    """A release ranks documents in the event loop, and a batch job takes half of its CPU."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    app.arrivals(3, ask(app.sdk(OPENAI, app.serve().openai_url), stream=True))
    await app.goes_wrong()

    async def rank_documents() -> None:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass

    app.callers(1, rank_documents, (0.4, 0.9))
    computing = "timeout 0.3 sh -c 'while :; do :; done'"
    batch = f"while kill -0 $PPID; do {computing}; sleep 0.3; done"
    await asyncio.create_subprocess_exec("sh", "-c", batch)


async def server_serves_few(app: App) -> None:
    """A job sends its 200 prompts at once, again and again, to a server of one's own that serves 6
    requests a second: the others wait in the queue of that server."""
    provider, client = app.served(OPENAI, direct=True)
    free = [0.0]

    def next_turn(_: ReceivedRequest) -> Behaviour:
        now = time.monotonic()
        free[0] = max(free[0], now) + 1 / 6
        return replace(USUAL, head_delay=free[0] - now)

    provider.behaviour = next_turn

    async def embed_documents() -> None:
        await client.chat.completions.create(model=MODEL, messages=_QUESTION)

    app.callers(4, ask(client))
    await app.goes_wrong()
    for _ in range(20):
        app.callers(10, embed_documents, (0.0, 0.1))
        await asyncio.sleep(3)


async def tool_answers_nothing(app: App) -> None:
    """A release breaks the result of a tool: the model asks for it eight times, not once, so that a
    complete() of GlueLLM makes 9 calls in place of 2."""
    provider = app.serve()
    gluellm_with(provider, RATE_LIMIT_ENABLED="false")
    import gluellm

    results = ["In stock: 4"]

    def look_up_stock(article: str) -> str:
        """Look up how many of an article are in stock."""
        return f"{results[0]} ({article})"

    def reply(fields: Any) -> Any:
        tools = [one["content"] for one in fields["messages"] if one["role"] == "tool"]
        done = len(tools) == 8 or any("stock" in content for content in tools)
        function = {"name": "look_up_stock", "arguments": '{"article": "lamp"}'}
        again = [{"id": f"call-{len(tools)}", "type": "function", "function": function}]
        message = {"role": "assistant", "content": "4 lamps." if done else None}
        message |= {} if done else {"tool_calls": again}
        choice = {"index": 0, "message": message, "finish_reason": "stop" if done else "tool_calls"}
        whose = {"id": "1", "object": "chat.completion", "created": 1, "model": MODEL}
        return {**whose, "choices": [choice]}

    provider.replies["POST", "/v1/chat/completions"] = reply

    async def restock() -> None:
        await gluellm.complete("How many?", model=f"openai:{MODEL}", tools=[look_up_stock])

    app.arrivals(0.5, restock)
    await app.goes_wrong()
    results[0] = "None"
