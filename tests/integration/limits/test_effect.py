"""Each limit, set by ``configure_pools()``, is the one that the server sees in effect."""

import asyncio
import contextlib
import gc
import time
from typing import Any

import httpcore
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools
from support.counted_llms import CountedLLMs
from support.waiting import until, wait_until

from .calls import call, call_at_once, create, gathered, many_threads

pytest.importorskip("any_llm")

HTTPX2 = ["openai", "mistral", "huggingface", "deepseek"]
HTTPX = ["anthropic", "groq", "ollama"]
AIOHTTP = ["gemini", "cohere", "azure", "fireworks"]
URLLIB3 = ["bedrock", "sagemaker", "otari"]
EVERY = [*HTTPX2, *HTTPX, *AIOHTTP, *URLLIB3]
"""One pool per instance. lmstudio, liner, voyage and watsonx have one per call."""
MANY = 10


@pytest.mark.parametrize("provider", EVERY)
def test_the_peak_of_connections_obeys_the_limit(provider, llms):
    """Without it there is a connection for each call at once; with it, so many as allowed."""
    llms.answer_together(MANY)
    call_at_once(create(provider, llms.origin), MANY)
    assert llms.peak == MANY
    wait_until(lambda: _closed(llms), "the first instance's connections are closed")

    llms.peak = 0
    configure_pools(max_connections=3)
    llms.answer_together(3, 0.05)
    call_at_once(create(provider, llms.origin), MANY)
    assert llms.peak == 3


def _closed(llms: CountedLLMs) -> bool:
    llms.hang_up()
    return llms.open_now == 0


@pytest.mark.parametrize("provider", ["openai", "mistral", "anthropic", "groq", "bedrock", "otari"])
def test_no_more_connections_are_kept_than_allowed(provider, llms):
    """Of as many as there were calls; without the limit all of them stay open."""

    async def kept(expected: int) -> None:
        llms.peak = 0
        llms.answer_together(MANY)
        llm = create(provider, llms.origin)
        await gathered(llm, MANY)
        assert llms.peak == MANY
        await until(lambda: llms.open_now == expected, f"{expected} connections are kept")

    with many_threads() as run:
        run(kept(MANY))
    wait_until(lambda: _closed(llms))
    configure_pools(max_keepalive_connections=2)
    with many_threads() as run:
        run(kept(2))


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "cohere"])
def test_an_idle_connection_expires(provider, llms):
    """A call after the expiry has a connection of its own; without the limit it reuses one."""

    async def connections() -> int:
        before = llms.accepted
        llm = create(provider, llms.origin)
        await call(llm)
        await asyncio.sleep(0.3)  # longer than the one expiry, much shorter than the other
        await call(llm)
        return llms.accepted - before

    assert asyncio.run(connections()) == 1
    configure_pools(keepalive_expiry=0.1)
    assert asyncio.run(connections()) == 2


@pytest.mark.parametrize(
    "provider", ["openai", "mistral", "anthropic", "groq", "ollama", "bedrock"]
)
def test_a_wait_for_a_connection_is_bounded(provider, llms):
    """The SDKs of openai and anthropic wait for ten minutes; urllib3 waits for ever."""
    configure_pools(max_connections=1, pool_timeout=0.2)
    gate = llms.gate()
    llms.answer_after(gate)

    async def second_fails() -> BaseException:
        llm = create(provider, llms.origin)
        first = asyncio.ensure_future(call(llm))
        await until(lambda: llms.slow.paths, "the first call has the connection")
        started = time.monotonic()
        with pytest.raises(Exception) as failed:
            await call(llm)
        assert time.monotonic() - started >= 0.19
        gate.open()
        await first
        return failed.value

    with many_threads() as run:
        error = run(second_fails())
    causes = [type(cause).__name__ for cause in _causes(error)]
    if provider == "bedrock":
        assert "EmptyPoolError" in causes
    else:
        assert "PoolTimeout" in causes
    assert llms.accepted == 1


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        more = error.kwargs.get("error") if hasattr(error, "kwargs") else None  # botocore's
        error = more or error.__cause__ or error.__context__


@pytest.mark.all_sdks
def test_limits_of_pools_that_live_for_one_call(llms):
    """liner and voyage build them in each call, so there the limit bounds one call."""
    configure_pools(max_connections=3, keepalive_expiry=7)
    GlueLLMInstrumentor().instrument()
    for provider in ("liner", "voyage"):
        seen: list[Any] = []
        llms.slow.look = lambda _path, seen=seen: seen.extend(snapshot().pools)
        asyncio.run(call(create(provider, llms.origin)))
        pools = [pool for pool in seen if pool.name == provider]
        assert [(pool.max_connections, pool.keepalive_expiry) for pool in pools] == [(3, 7)]
        assert pools[0].limits_from == "configure_pools(max_connections=3, keepalive_expiry=7)"


@pytest.mark.all_sdks
def test_the_snapshot_says_what_the_limit_is_and_where_it_came_from(llms):
    """In every library that has a limit, as data and as text."""
    configure_pools(max_connections=3, pool_timeout=7)
    configure_pools(provider="gemini", max_connections=4)
    GlueLLMInstrumentor().instrument()
    seen: dict[str, Any] = {}

    def look(_path: str) -> None:
        seen.update((pool.name, pool) for pool in snapshot().pools)
        seen["text"] = str(snapshot())

    llms.slow.look = look
    for provider in ("openai", "anthropic", "gemini", "bedrock"):
        call_at_once(create(provider, llms.origin), 1)
    both = "configure_pools(max_connections=3, pool_timeout=7)"
    gemini = 'configure_pools(provider="gemini", max_connections=4)'
    found = {
        name: (pool.max_connections, pool.limits_from)
        for name, pool in seen.items()
        if name != "text"
    }
    assert found == {
        "openai": (3, both),
        "anthropic": (3, both),
        "gemini": (4, gemini),
        "bedrock": (3, both),
    }
    assert seen["openai"].pool_timeout == seen["bedrock"].pool_timeout == 7
    assert f"limits from {both}" in " ".join(seen["text"].split())


@pytest.mark.anyio
@pytest.mark.parametrize("instrumented", [False, True])
async def test_a_pool_that_is_built_while_a_stream_is_read(instrumented, llms):
    """liner builds it at the stream's first step, when any-llm's call has returned long since."""
    configure_pools(max_connections=3)
    if instrumented:
        GlueLLMInstrumentor().instrument()
    seen: list[int | None] = []

    def look(_path: str) -> None:
        seen.extend(
            thing._max_connections
            for thing in gc.get_objects()
            if type(thing) is httpcore.AsyncConnectionPool and thing._requests
        )

    llms.slow.look = look

    stream = await call(create("liner", llms.origin), stream=True)
    assert seen == []
    with contextlib.suppress(Exception):  # the fake has no stream of it
        await anext(aiter(stream))
    assert seen == [3]
