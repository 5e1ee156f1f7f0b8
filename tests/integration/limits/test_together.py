"""Limits and the instrumentation are independent of each other."""

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
from support.waiting import until

from .calls import built, call, call_at_once, create, maximum

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
    """Return all functions of the patched classes. Defaults of marks are not functions."""
    return {
        (owner, name): attribute
        for owner in OWNERS
        for name, attribute in vars(owner).items()
        if callable(attribute) or isinstance(attribute, classmethod)
    }


def steps() -> Iterator[tuple[str, ...]]:
    """Yield all orders in which each is installed before it is removed."""
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
def test_limits_and_instrumentation_restore_the_identical_functions(order, llms):
    """They are installed and removed in every order."""
    before = functions()
    on: set[str] = set()
    for step in (*order, *order):  # the second time finds what the first one may have left
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


def test_request_in_flight_continues_while_limits_are_set_and_reset(llms):
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
