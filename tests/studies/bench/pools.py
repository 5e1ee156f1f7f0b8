"""Pools of httpcore over the scripted network, and their requests."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpcore

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call

from .network import Backend, answer
from .workload import any_llm_call

HOST = "api.openai.com"
EMPTY = answer(b"{}")


def a_pool(backend: Any = None, **settings: Any) -> httpcore.ConnectionPool:
    """A pool whose every request is answered in the same way."""
    return httpcore.ConnectionPool(network_backend=backend or Backend(EMPTY), **settings)


def a_request(host: str = HOST, pool_timeout: float | None = None) -> httpcore.Request:
    """A request for a host."""
    timeouts = {} if pool_timeout is None else {"timeout": {"pool": pool_timeout}}
    return httpcore.Request("GET", f"http://{host}/", headers=[("Host", host)], extensions=timeouts)


@contextlib.contextmanager
def calling(call: Call | None = None) -> Iterator[None]:
    """Attribute requests to an any-llm call."""
    token = current_call.set(call or any_llm_call())
    try:
        yield
    finally:
        current_call.reset(token)


def send(
    pool: httpcore.ConnectionPool,
    host: str = HOST,
    call: Call | None = None,
    pool_timeout: float | None = None,
) -> None:
    """Send one whole request of one any-llm call."""
    with calling(call):
        response = pool.handle_request(a_request(host, pool_timeout))
        try:
            for _part in response.stream:  # type: ignore[union-attr]
                pass
        finally:
            response.close()


def used_pools(count: int) -> list[httpcore.ConnectionPool]:
    """Pools of one provider, each with one idle connection."""
    backend = Backend(EMPTY)
    pools = [a_pool(backend, max_connections=10) for _ in range(count)]
    for pool in pools:
        send(pool)
    return pools
