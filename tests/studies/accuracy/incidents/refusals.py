"""Rate limits, retries, and providers that refuse."""

import os
from dataclasses import replace

from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from support.programs import gluellm_environment

from ..app import ANTHROPIC, CLAUDE, MODEL, OPENAI, USUAL, App, ask


async def quota_lowered(app: App) -> None:
    """The provider lowers the quota: four of five requests get 429 with Retry-After, and the SDK's
    two retries are not enough for half of the calls."""
    provider = await app.steady(OPENAI, max_retries=2)
    provider.behaviour = app.some(0.8, Behaviour(status=429, retry_after=2))


async def overloaded(app: App) -> None:
    """The provider is overloaded and answers 529 without Retry-After; five retries of the SDK save
    nearly every call, which then takes seconds longer."""
    provider = await app.steady(ANTHROPIC, max_retries=5)
    provider.behaviour = app.some(0.6, replace(USUAL, status=529))


def gluellm_with(provider: FakeProviderThread, **settings: str) -> None:
    """Environment of GlueLLM, which reads it when it is imported."""
    os.environ |= gluellm_environment(provider)
    os.environ |= {f"GLUELLM_{name}": value for name, value in settings.items()}


async def retries_multiplied(app: App) -> None:
    """Two of three requests get 503. GlueLLM makes three attempts, and in each of them the SDK
    makes three, so that a call becomes up to nine requests."""
    provider = app.serve()
    gluellm_with(provider, RATE_LIMIT_ENABLED="false")
    import gluellm

    app.arrivals(2, lambda: gluellm.complete("Summarize this.", model=f"openai:{MODEL}"))
    await app.goes_wrong()
    provider.behaviour = app.some(0.67, Behaviour(head_delay=0.2, status=503))


async def gluellm_limiter(app: App) -> None:
    """Traffic becomes four times as much, and GlueLLM's own limiter lets 80 calls a minute pass."""
    provider = app.serve()
    gluellm_with(provider, RATE_LIMIT_REQUESTS_PER_MINUTE="80")
    import gluellm

    async def call() -> None:
        await gluellm.complete("Summarize this.", model=f"openai:{MODEL}")

    app.arrivals(1, call)
    await app.goes_wrong()
    app.arrivals(3, call)


async def key_rotated(app: App) -> None:
    """The API key was rotated, and the service still has the old one."""
    provider = await app.steady(OPENAI)
    provider.behaviour = Behaviour(head_delay=0.05, status=401)


async def bad_request(app: App) -> None:
    """A release sends a parameter that one model does not know: this feature's calls all get 400,
    those of the other feature are well."""
    provider, client = app.served(OPENAI)
    vision = "gpt-4o-vision"

    async def describe_image() -> None:
        await client.acompletion(vision, messages=[{"role": "user", "content": "An image."}])

    app.arrivals(2, ask(client, stream=True))
    app.arrivals(1.5, describe_image)
    await app.goes_wrong()
    bad = Behaviour(head_delay=0.05, status=400)
    provider.behaviour = lambda request: bad if request.model == vision else USUAL


async def half_get_500(app: App) -> None:
    """Half of the requests get 500, and the application allows no retry."""
    provider = await app.steady(ANTHROPIC, stream=True, max_retries=0)
    provider.behaviour = app.some(0.5, Behaviour(head_delay=0.3, status=500))


async def fallback_is_slow(app: App) -> None:
    """The first provider answers 503; the application falls back to one that takes 6 s."""
    provider = app.serve()
    first = ask(app.any_llm(OPENAI, provider.openai_url, max_retries=0))
    second = ask(app.any_llm(ANTHROPIC, provider.anthropic_url), CLAUDE)

    async def with_fallback() -> None:
        try:
            await first()
        except Exception:  # what openai raises needs no distinction here
            await second()

    app.arrivals(3, with_fallback)
    await app.goes_wrong()
    down, slow = Behaviour(status=503), replace(USUAL, head_delay=5.5)
    provider.behaviour = lambda request: slow if request.api == ANTHROPIC else down


async def answers_do_not_parse(app: App) -> None:
    """A new model answers a structured request in prose: 200, but GlueLLM can't parse it, asks
    again after a pause, and gives up."""
    from pydantic import BaseModel

    class Ticket(BaseModel):
        number: int

    chat = ("POST", "/v1/chat/completions")
    message = {"role": "assistant", "content": '{"number": 7}', "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL}
    provider = app.serve()
    provider.replies[chat] = {**answer, "choices": [choice], "usage": usage}
    gluellm_with(provider, RATE_LIMIT_ENABLED="false")
    import gluellm
    from gluellm.api import RetryConfig

    again = RetryConfig(max_attempts=2, min_wait=1.0, retry_on=[Exception])

    async def which() -> None:
        # A client keeps its conversation, and would send all calls before with each call.
        client = gluellm.GlueLLM(model=f"openai:{MODEL}", retry_config=again)
        await client.structured_complete("Which?", response_format=Ticket)

    app.arrivals(2, which)
    await app.goes_wrong()
    del provider.replies[chat]


async def one_model_slow(app: App) -> None:
    """One of two models takes 8 s until the head of its answer, the other is as quick as ever."""
    provider, client = app.served(OPENAI)
    app.arrivals(1.5, ask(client))
    app.arrivals(2, ask(client, "gpt-5-pro"))
    await app.goes_wrong()
    slow = replace(USUAL, head_delay=8.0)
    provider.behaviour = lambda request: slow if request.model == "gpt-5-pro" else USUAL


async def tokens_slow(app: App) -> None:
    """The heads come as quickly as before, and the tokens a tenth as fast."""
    provider = await app.steady(ANTHROPIC, stream=True)
    provider.behaviour = replace(USUAL, token_rate=4)
