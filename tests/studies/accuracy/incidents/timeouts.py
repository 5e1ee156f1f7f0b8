"""Time-outs of the application, and providers that fall silent."""

import math
from dataclasses import replace

from gluellm_pools.fake_provider import Behaviour

from ..app import ANTHROPIC, CLAUDE, OPENAI, USUAL, App, Route, ask, within


async def cancelled_in_queue(app: App) -> None:
    """Traffic triples. The pool of 4 is full, and the application's time-out of 3 s cancels most
    calls while they still wait for a connection."""
    _, client = app.served(OPENAI, http_client=app.http(OPENAI, 4))
    call = within(3, ask(client))
    app.arrivals(3, call)
    await app.goes_wrong()
    app.arrivals(6, call)


async def cancelled_while_reading(app: App) -> None:
    """Answers became longer and the tokens slower: a request handler's time-out of 4 s cancels
    streams that would have taken 6 s."""
    provider, client = app.served(OPENAI)
    app.arrivals(3, within(4, ask(client, stream=True)))
    await app.goes_wrong()
    provider.behaviour = replace(USUAL, tokens=50, token_rate=9)


async def read_timeout_cuts(app: App) -> None:
    """A new prompt makes answers take 2 to 5 s, the client's read time-out is 3 s: more than half
    of the good answers are cut off, and are asked for again."""
    provider = await app.steady(ANTHROPIC, timeout=3.0, max_retries=1)
    provider.behaviour = replace(USUAL, head_delay=1.7, jitter=3.0)


async def provider_hangs(app: App) -> None:
    """Six of ten requests get no answer at all. The SDK would wait for ten minutes."""
    provider = await app.steady(OPENAI, 2)
    provider.behaviour = app.some(0.6, Behaviour(head_delay=math.inf))


async def pings_only(app: App) -> None:
    """Streams begin, then bring pings and no item any more, so that no read time-out ends them."""
    provider = await app.steady(OPENAI, 2, stream=True, timeout=5.0)
    provider.behaviour = app.some(0.7, replace(USUAL, stall_after=3, ping_every=0.5))


async def dead_path(app: App) -> None:
    """A gateway on the way forgets its state: it acknowledges everything, on old connections and on
    new ones, and passes on nothing."""
    provider = app.serve()
    route = app.listen(Route, to=provider)
    client = app.any_llm(ANTHROPIC, route.origin)
    app.arrivals(2, ask(client, CLAUDE, stream=True))
    await app.goes_wrong()
    route.dead = True
