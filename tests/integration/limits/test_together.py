"""Limits and the instrumentation side by side: neither minds when the other comes or goes."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest

pytest.importorskip("botocore")

import aiohttp
import any_llm
import botocore.httpsession
import botocore.session
import httpcore
import httpcore2
import urllib3
from any_llm.providers.anthropic import AnthropicProvider
from any_llm.providers.openai import OpenaiProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from support.telemetry import Telemetry
from support.waiting import until

from .calls import (
    built,
    call,
    call_at_once,
    create,
    gathered,
    limits_from,
    many_threads,
    maximum,
    pool_timeout,
)

pytestmark = pytest.mark.all_sdks

OWNERS = (
    any_llm.AnyLLM,
    any_llm.AnyLLM.__mro__[1],
    OpenaiProvider,
    AnthropicProvider,
    httpcore.AsyncConnectionPool,
    httpcore.ConnectionPool,
    httpcore2.AsyncConnectionPool,
    httpcore2.ConnectionPool,
    aiohttp.BaseConnector,
    aiohttp.TCPConnector,
    urllib3.PoolManager,
    urllib3.HTTPConnectionPool,
    botocore.session.Session,
    botocore.httpsession.URLLib3Session,
)


def functions() -> dict[tuple[type, str], Any]:
    """Every function of the classes that are patched; notes' defaults are no functions."""
    return {
        (owner, name): attribute
        for owner in OWNERS
        for name, attribute in vars(owner).items()
        if callable(attribute) or isinstance(attribute, classmethod)
    }


def steps() -> Iterator[tuple[str, ...]]:
    """Every order in which each comes before it goes."""
    for order in permutations(("instrument", "limit", "uninstrument", "unlimit")):
        if order.index("instrument") < order.index("uninstrument") and order.index(
            "limit"
        ) < order.index("unlimit"):
            yield order


ACTIONS: dict[str, Callable[[], object]] = {
    "instrument": lambda: GlueLLMInstrumentor().instrument(),
    "uninstrument": lambda: GlueLLMInstrumentor().uninstrument(),
    "limit": lambda: configure_pools(max_connections=3, pool_timeout=4),
    "unlimit": reset_pools,
}


@pytest.mark.parametrize("order", list(steps()), ids="-".join)
def test_the_identical_functions_are_back(order, llms):
    """In every order; and meanwhile each does what it is for, whether the other is on or not."""
    before = functions()
    on: set[str] = set()
    for step in (*order, *order):  # a second time, over what the first may have left
        ACTIONS[step]()
        on = {step, *on} if not step.startswith("un") else on - {step.removeprefix("un")}
        with built() as pools:
            llm = create("openai", llms.origin)
        call_at_once(llm, 1)
        assert [maximum(pool) for pool in pools] == [3 if "limit" in on else 1000]
        if "instrument" in on:
            names = [pool.name for pool in snapshot().pools]
            assert names
            assert set(names) == {"openai"}
        del llm, pools
    assert functions() == before
    assert all(functions()[key] is function for key, function in before.items())


@pytest.mark.parametrize("first", ["limits", "instrumentation"])
def test_the_metrics_are_the_same_with_limits(first, llms):
    """Provider, model and counts; only the limit itself is another one."""

    def told(limits: bool) -> dict[str, Any]:
        telemetry = Telemetry()
        settings = {
            "meter_provider": telemetry.meter_provider,
            "tracer_provider": telemetry.tracer_provider,
            "model_attributes": True,
        }
        if limits and first == "limits":
            configure_pools(max_connections=900)
        GlueLLMInstrumentor().instrument(**settings)
        if limits and first != "limits":
            configure_pools(max_connections=900)
        try:
            return asyncio.run(_told(telemetry, llms.origin))
        finally:
            GlueLLMInstrumentor().uninstrument()
            reset_pools()
            telemetry.shutdown()

    assert told(limits=True) == told(limits=False)


async def _told(telemetry: Telemetry, origin: str) -> dict[str, Any]:
    """While the pools are there: when the garbage collector comes is another matter."""
    kept = [create(provider, origin) for provider in ("openai", "anthropic")]
    for llm in kept:
        await gathered(llm, 2)
    await _read_a_stream(create("liner", origin))
    return {
        metric: sorted(map(_without_time, points))
        for metric, points in telemetry.collect().items()
        if not metric.startswith("gluellm.event_loop")
    }


async def _read_a_stream(llm: Any) -> None:
    try:
        async for _ in await call(llm, stream=True):
            pass
    except any_llm.AnyLLMError:
        pass  # the fake has no stream of it: the request is what counts


def _without_time(point: Any) -> str:
    """What a point says, but for how long things took and for the limit."""
    count = getattr(point, "count", None)
    return f"{sorted(point.attributes.items())} {count}"


def test_a_request_in_flight_goes_on(llms):
    """While limits come and go."""
    gate = llms.gate()
    llms.answer_after(gate)
    configure_pools(max_connections=1, pool_timeout=30)

    async def main() -> Any:
        llm = create("openai", llms.origin)
        first = asyncio.ensure_future(call(llm))
        await until(lambda: llms.slow.paths)
        second = asyncio.ensure_future(call(llm))
        await asyncio.sleep(0)
        reset_pools()
        configure_pools(max_connections=2)
        reset_pools()
        gate.open()
        return await asyncio.gather(first, second)

    assert len(asyncio.run(main())) == 2


def test_clients_that_botocore_makes_in_a_thread_of_the_executor(llms):
    """any-llm's bedrock has one for each timeout of a call, made where no context of it is."""
    configure_pools(max_connections=3, pool_timeout=4)
    with built() as pools:
        llm = create("bedrock", llms.origin)
        with many_threads() as run:
            run(call(llm, timeout=50))
    (late,) = llm._timeout_clients.values()
    assert maximum(late._endpoint.http_session._manager) == 3
    (pool,) = (pool for pool in pools if isinstance(pool, urllib3.HTTPConnectionPool))
    assert (maximum(pool), pool_timeout(pool)) == (3, 4)
    assert limits_from(pool) == "configure_pools(max_connections=3, pool_timeout=4)"
    del llm


def test_the_manager_that_botocore_makes_for_a_proxy(llms, monkeypatch):
    """At the first request through it, in a thread of the executor."""
    monkeypatch.setenv("HTTP_PROXY", llms.origin)  # which answers what a proxy is asked, too
    monkeypatch.delenv("NO_PROXY")
    configure_pools(max_connections=3)
    with built() as pools:
        llm = create("bedrock", "http://bedrock.example")
        call_at_once(llm, 1)
    proxies = [pool for pool in pools if isinstance(pool, urllib3.ProxyManager)]
    assert [maximum(manager) for manager in proxies] == [3]
    del llm


def test_a_managers_pools_outside_any_llm_are_left_alone():
    """urllib3 and botocore serve the rest of the application as before."""
    configure_pools(max_connections=3)
    manager = urllib3.PoolManager()
    assert maximum(manager) is None
    assert limits_from(manager.connection_from_url("http://127.0.0.1:9")) is None
    session = botocore.session.Session()
    with built() as pools:
        client = session.create_client("s3", region_name="us-east-1")
    assert {maximum(pool) for pool in pools} == {None}
    del client


def test_a_gemini_session_of_each_loop_has_the_limit(llms):
    """google-genai builds one for each loop, at the first call in it."""
    configure_pools(provider="gemini", max_connections=3)
    llm = create("gemini", llms.origin)
    for _ in range(2):
        with built() as pools:
            asyncio.run(call(llm))
        assert [maximum(pool) for pool in pools if isinstance(pool, aiohttp.BaseConnector)] == [3]
