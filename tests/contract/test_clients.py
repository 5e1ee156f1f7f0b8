"""Whole clients of httpx and httpx2."""

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.libraries import Library
from support.outcomes import assert_settled
from support.proxies import HTTPProxy, SOCKSProxy
from support.rows import new, reused


def test_pool_of_a_clients_proxy_is_observed(runner, library, listen, server, telemetry):
    """The client uses another pool for requests through the proxy."""
    proxy = listen(HTTPProxy)
    client = runner.client(library, mounts={"http://": _transport(runner, library, proxy.origin)})
    first = client.get(server.url())
    second = client.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert proxy.timeline.count("forward") == 1
    client.close()
    assert telemetry.value(semconv.POOL_LIVE) == 0


@pytest.mark.only("httpx", "httpx2")
def test_set_up_through_a_clients_socks_proxy_is_observed(
    runner, library, listen, server, telemetry
):
    """The client uses a separate pool class for SOCKS proxies."""
    proxy = listen(SOCKSProxy, tunnel_after=0.2)
    client = runner.client(library, proxy=proxy.origin.replace("http:", "socks5:"))
    assert_settled(telemetry, [client.get(server.url())], new())
    assert telemetry.steps()["proxy"] >= 0.2


def _transport(runner: Runner, library: Library, proxy: str) -> object:
    kind = "HTTPTransport" if runner.portal is None else "AsyncHTTPTransport"
    return getattr(library.client, kind)(proxy=proxy)
