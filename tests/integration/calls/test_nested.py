"""Calls of SDKs below frameworks and other runtimes: each counts once, and none is lost."""

import json
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot
from support.programs import run_code
from support.sdk_clients import SDKS

from .ledger import Ledger

pytestmark = pytest.mark.anyio


def langchain_models(server: FakeProvider) -> tuple[Any, Any]:
    """Chat models of LangChain: one on openai's SDK, and one on anthropic's."""
    openai = pytest.importorskip("langchain_openai")
    anthropic = pytest.importorskip("langchain_anthropic")
    settings: dict[str, Any] = {"model": "m", "api_key": "any", "max_retries": 0}
    return (
        openai.ChatOpenAI(base_url=server.openai_url, **settings),
        anthropic.ChatAnthropic(base_url=server.anthropic_url, **settings),
    )


@pytest.mark.all_sdks
@pytest.mark.parametrize("first", SDKS)
async def test_fallback_of_langchain_is_a_call_of_its_own(
    first: str, server: FakeProvider, ledger: Ledger
) -> None:
    """Nothing spans the two. The failed call and the one that replaces it have their providers."""
    models = langchain_models(server)
    model, other = models if first == "openai" else models[::-1]
    chain = model.with_fallbacks([other])
    for _ in range(2):
        server.script(Behaviour(status=500), Behaviour())
        await chain.ainvoke("hi")
    server.script(Behaviour(status=500), Behaviour())
    assert [chunk async for chunk in chain.astream("hi")]
    server.script(Behaviour(status=500), Behaviour())
    chain.invoke("hi")
    (second,) = set(SDKS) - {first}
    assert {
        (calls.source, calls.provider, outcome): count
        for calls in snapshot().process.calls
        for outcome, count in calls.outcomes.items()
        if count
    } == {("sdk", first, "failed"): 4, ("sdk", second, "succeeded"): 4}
    assert server.counts.requests == 8


_GREENLETS = """
    import gevent.monkey
    gevent.monkey.patch_all()
    import sys, json, gevent
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
    GlueLLMInstrumentor().instrument()
    import openai, anthropic
    hi = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    one = openai.OpenAI(api_key="any", base_url=sys.argv[1]).chat.completions
    two = anthropic.Anthropic(api_key="any", base_url=sys.argv[2]).messages
    def read(part):
        for _ in part.create(**hi, stream=True):
            gevent.sleep(0)
    tasks = [gevent.spawn(part.create, **hi) for part in (one, two) for _ in range(10)]
    tasks += [gevent.spawn(read, part) for part in (one, two) for _ in range(10)]
    gevent.joinall(tasks, raise_error=True)
    print(json.dumps([[c.source, c.provider, c.outcomes["succeeded"], c.ended, c.in_flight,
                       c.retries] for c in snapshot().process.calls]))
"""


def test_calls_of_greenlets(server: FakeProvider) -> None:
    """gevent switches between them while they wait for the provider."""
    pytest.importorskip("gevent")
    done = run_code(_GREENLETS, server.openai_url, server.anthropic_url)
    counted = sorted(json.loads(done.stdout.splitlines()[-1]))
    assert counted == [["sdk", sdk, 20, 20, 0, 0] for sdk in sorted(SDKS)]
    assert server.counts.requests == 40
