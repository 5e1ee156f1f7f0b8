"""Applications that are well although they look unusual: nothing may be reported."""

import asyncio
import time
from dataclasses import replace

from gluellm_pools.fake_provider import Behaviour

from ..app import ANTHROPIC, CLAUDE, OPENAI, USUAL, App, ask, within


async def healthy_bursts(app: App) -> None:
    """Every few seconds 15 calls at once, for which the pool has room."""
    client = app.any_llm(OPENAI, app.serve().openai_url)
    call = ask(client, stream=True)

    async def burst() -> None:
        await asyncio.gather(*(call() for _ in range(15)))

    app.arrivals(2, call)
    app.callers(1, burst, (4.0, 8.0))


async def long_unstreamed_calls(app: App) -> None:
    """Beside short calls, unstreamed ones that take 90 s and 400 s."""
    provider, client = app.served(OPENAI)
    delays = {"o3": 90.0, "o3-deep-research": 400.0}
    provider.behaviour = lambda request: replace(
        USUAL, head_delay=delays.get(request.model or "", USUAL.head_delay)
    )
    app.arrivals(2, ask(client))
    app.callers(2, ask(client, "o3"), (0.0, 2.0))
    app.callers(2, ask(client, "o3-deep-research"), (0.0, 1.0))


async def long_streams(app: App) -> None:
    """Streams of ten minutes with an item every half second."""
    provider, client = app.served(ANTHROPIC)
    long = replace(USUAL, tokens=1200, token_rate=2)
    provider.behaviour = lambda request: long if request.model == "claude-opus-4-5" else USUAL
    app.arrivals(2, ask(client, CLAUDE))
    app.callers(3, ask(client, "claude-opus-4-5", stream=True), (0.0, 5.0))


async def pauses(app: App) -> None:
    """The event loop pauses for 0.4 s now and then, as for a garbage collection."""
    client = app.sdk(OPENAI, app.serve().openai_url)
    app.arrivals(3, ask(client, stream=True))

    async def pause() -> None:
        time.sleep(0.4)

    app.callers(1, pause, (12.0, 20.0))


async def few_errors(app: App) -> None:
    """One request of a hundred gets a 500; the SDK sends it again."""
    provider = app.serve(behaviour=app.some(0.01, Behaviour(status=500)))
    app.arrivals(4, ask(app.sdk(ANTHROPIC, provider.anthropic_url), CLAUDE, stream=True))


async def users_cancel(app: App) -> None:
    """One user of eight leaves before the answer has ended."""
    call = ask(app.any_llm(OPENAI, app.serve().openai_url), stream=True)
    app.arrivals(3.5, call)
    app.arrivals(0.5, within(0.5, call, TimeoutError))


async def more_traffic(app: App) -> None:
    """Traffic doubles, and the pool has room."""
    client = app.any_llm(ANTHROPIC, app.serve().anthropic_url)
    app.arrivals(2, ask(client, CLAUDE, stream=True))
    await app.goes_wrong()
    app.arrivals(3, ask(client, CLAUDE, stream=True))
