"""Names, routes, proxies, TLS, and connections that do not last."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from gluellm_pools.fake_provider import Behaviour
from support.network import Certificates
from support.proxies import HTTPProxy

from ..app import ANTHROPIC, CLAUDE, OPENAI, USUAL, App, ask


@contextlib.contextmanager
def _slow_resolver(seconds: float) -> Iterator[None]:
    """Each lookup takes ``seconds``, below asyncio and the clients."""
    resolve = socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(seconds)
        return resolve(*arguments, **more)

    socket.getaddrinfo = slow
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


def _look_names_up(app: App) -> None:
    """Start callers whose connections are kept for a moment only: most calls look the name up."""
    provider = app.serve()
    url = provider.openai_url.replace(provider.host, "localhost")
    client = app.any_llm(OPENAI, url, http_client=app.http(OPENAI, expiry=0.05))
    app.callers(4, ask(client), (0.3, 1.0))


async def dns_slow(app: App) -> None:
    """The resolver's first server is gone: each lookup takes 3 s. Connections are kept for a
    moment only, so that most calls look the name up."""
    _look_names_up(app)
    await app.goes_wrong()
    with _slow_resolver(3.0):
        await asyncio.Event().wait()


async def executor_full(app: App) -> None:
    """Documents are parsed in the loop's executor, more than its 4 threads can do. New connections
    wait there as well, since asyncio looks up names in it."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    _look_names_up(app)
    await app.goes_wrong()

    async def parse_document() -> None:
        await asyncio.to_thread(time.sleep, 2.0)

    app.callers(12, parse_document, (0.0, 0.1))


async def tls_slow(app: App) -> None:
    """The provider's front end is short of CPU: a TLS handshake takes 3 s. Connections are kept for
    a moment only."""
    route = app.tls_route(app.serve())
    http = app.http(ANTHROPIC, expiry=0.05, verify=app.certificates.client())
    app.callers(4, ask(app.any_llm(ANTHROPIC, route.origin, http_client=http), CLAUDE), (0.3, 1.0))
    await app.goes_wrong()
    route.setup_after = 3.0


async def connect_refused(app: App) -> None:
    """Nothing listens at the provider's address any more."""
    provider = await app.steady(ANTHROPIC, direct=True, max_retries=1)
    await provider.call(provider.refuse())
    await provider.call(provider.drop())


async def proxy_down(app: App) -> None:
    """The company's HTTP proxy is restarted and does not come back."""
    route, proxy = app.tls_route(app.serve()), app.listen(HTTPProxy)
    http = app.http(OPENAI, proxy=proxy.origin, verify=app.certificates.client())
    app.arrivals(3, ask(app.any_llm(OPENAI, f"{route.origin}/v1", http_client=http, max_retries=1)))
    await app.goes_wrong()
    await asyncio.to_thread(proxy.close)


async def certificate_unknown(app: App) -> None:
    """A gateway that inspects TLS gets a certificate of an authority unknown to the service."""
    route = app.tls_route(app.serve())
    http = app.http(OPENAI, verify=app.certificates.client())
    app.arrivals(3, ask(app.any_llm(OPENAI, f"{route.origin}/v1", http_client=http, max_retries=1)))
    await app.goes_wrong()
    route._tls = Certificates.make().server()
    await asyncio.to_thread(route.hang_up)


async def closed_after_each(app: App) -> None:
    """A new load balancer closes each connection after its response, and TLS takes 0.4 s."""
    provider = app.serve()
    route = app.tls_route(provider, setup_after=0.4)
    http = app.http(OPENAI, verify=app.certificates.client())
    app.arrivals(3, ask(app.any_llm(OPENAI, f"{route.origin}/v1", http_client=http)))
    await app.goes_wrong()
    provider.behaviour = replace(USUAL, close=True)


async def server_keeps_shorter(app: App) -> None:
    """The server keeps idle connections for 0.3 s now, the callers pause for longer, and each new
    connection takes 0.5 s."""
    provider = app.serve()
    route = app.tls_route(provider, setup_after=0.5)
    http = app.http(ANTHROPIC, verify=app.certificates.client())
    app.callers(5, ask(app.any_llm(ANTHROPIC, route.origin, http_client=http), CLAUDE), (1.0, 2.0))
    await app.goes_wrong()
    provider.idle_timeout = 0.3


async def idle_connections_forgotten(app: App) -> None:
    """A NAT gateway forgets idle connections: half of the requests on a reused one are answered by
    a reset. The SDK sends them again."""
    provider, client = app.served(ANTHROPIC, direct=True)
    app.callers(6, ask(client, CLAUDE), (0.5, 1.5))
    await app.goes_wrong()
    provider.behaviour = app.some(0.5, replace(USUAL, drop_reused=True))


async def provider_resets(app: App) -> None:
    """The provider's front end crashes under load: six of ten requests end in a reset where the
    head of the answer is due. The application allows no retry."""
    provider = await app.steady(OPENAI, direct=True, max_retries=0)
    provider.behaviour = app.some(0.6, replace(USUAL, reset_before_head=True))


async def bodies_truncated(app: App) -> None:
    """A proxy ends six of ten streams in their middle: the connection is closed in order, although
    the body is not complete."""
    provider = await app.steady(OPENAI, stream=True)
    provider.behaviour = app.some(0.6, Behaviour(head_delay=0.4, tokens=12, hang_up_after=5))
