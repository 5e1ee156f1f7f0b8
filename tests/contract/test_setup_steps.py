"""Steps of establishing a connection: one of them is slow, and its time is in that step.

The delay of a name is below the pool and below the library: in the system's resolver.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.installation import instrument
from support.network import unreachable
from support.outcomes import SLACK, assert_near
from support.proxies import HTTPProxy, SOCKSProxy
from support.telemetry import Reading, Telemetry
from support.waiting import LATENESS, wait_until

DELAY = 0.5
NAME = "localhost"

pytestmark = pytest.mark.modes("sync", "asyncio", "trio")


@pytest.fixture
def slow_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes a while to resolve a name, to one address. To be used before telemetry."""
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        numeric = len(args) > 4 and args[4] & socket.AI_NUMERICHOST
        if host not in (NAME, NAME.encode()) or numeric:
            return original(host, *args, **kwargs)
        time.sleep(DELAY)
        return original("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def named(url: str) -> str:
    return url.replace("127.0.0.1", NAME)


def assert_steps(telemetry: Telemetry, **expected: float) -> None:
    """Assert the steps of one set-up, ``None`` for one that takes any time; others take none."""
    reading = telemetry.now()
    steps = reading.steps()
    late = LATENESS.beside(SLACK)
    assert sum(steps.values()) == pytest.approx(
        reading.total(semconv.CONNECTION_CREATE_DURATION), abs=0.001
    )
    for step, took in steps.items():
        assert took == pytest.approx(expected.get(step, 0.0), abs=late), steps


def test_slow_name_is_in_resolve(slow_name, runner, library, listen, telemetry):
    """Its span and ``network.type`` as well."""
    server = listen(HTTP1Server)
    pool = runner.pool(library)
    pool.get(named(server.url()))
    assert_steps(telemetry, resolve=DELAY)
    (span,) = telemetry.spans("HTTP connection_setup")
    assert_near(span.attributes[semconv.SPAN_STEP_TIME + "resolve"], DELAY)
    assert span.attributes[semconv.NETWORK_TYPE] == "ipv4"


def test_slow_connect_is_in_connect(runner, library, telemetry):
    """A set-up that fails has its steps as well, and grows while it runs."""
    with unreachable() as url:
        exchange = runner.pool(library).send(url, connect=DELAY)
        wait_until(lambda: telemetry.steps()["connect"] > DELAY / 5)
        assert isinstance(exchange.failure(), library.raises("connect_timeout"))
    assert_steps(telemetry, connect=DELAY)


def test_slow_tunnel_is_in_proxy(runner, library, listen, certificates, telemetry):
    """A proxy answers late, then the handshake with the origin begins."""
    proxy = listen(HTTPProxy, tunnel_after=DELAY)
    server = listen(HTTP1Server, tls=certificates.server())
    pool = runner.pool(
        library, proxy=library.core.Proxy(proxy.origin), ssl_context=certificates.client()
    )
    pool.get(server.url())
    assert_steps(telemetry, proxy=DELAY)


def test_slow_handshake_is_in_tls(runner, library, listen, certificates, telemetry):
    """The server's side of the handshake is late."""
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=DELAY)
    runner.pool(library, ssl_context=certificates.client()).get(server.url())
    assert_steps(telemetry, tls=DELAY)


def test_slow_socks_proxy_is_in_proxy_or_not_shown(
    runner, library, listen, certificates, telemetry
):
    """urllib3 leaves it to PySocks, which resolves, connects and negotiates in one function."""
    proxy = listen(SOCKSProxy, tunnel_after=DELAY)
    url = proxy.origin.replace("http:", "socks5:")
    pool = runner.pool(library, proxy=library.core.Proxy(url))
    pool.get(listen(HTTP1Server).url())
    assert_steps(telemetry, **{"other" if library.name == "urllib3" else "proxy": DELAY})
