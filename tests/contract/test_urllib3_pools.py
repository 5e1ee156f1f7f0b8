"""urllib3's own: managers and the pools in them, which come with a request and go by themselves."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.listener import Listen
from support.outcomes import assert_rows, assert_settled, new, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.modes("sync")


def test_cleared_manager_builds_anew(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Its pools are discarded as closed, though it only lets go of them; another one serves."""
    pool: Any = runner.pool(library)
    first = pool.get(server.url())
    pool.raw.clear()
    gc.collect()
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), new())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 2


def test_pool_closed_under_a_request(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It goes on; its connection has nowhere to return to, and is closed when it is over."""
    gate = server.gate()
    pool: Any = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=gate)))
    exchange.head()
    pool.core.close()
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0
    assert telemetry.current("unread") == 1
    gate.open()
    assert exchange.read() == b"ok"
    assert_settled(telemetry, [exchange], new())
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_closed_pool_refuses_requests(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A request to it fails at once, and is one that failed."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    closed = pool.core
    closed.close()
    with pytest.raises(urllib3.exceptions.ClosedPoolError):
        closed.urlopen("GET", "/")
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {
        (200, None): 1,
        (None, "_OTHER"): 1,
    }
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_manager_lets_go_of_the_pool_that_was_used_least(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """One pool for each origin, and no more than ``num_pools``: the first one goes."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)
    pool: Any = runner.pool(library, num_pools=1)
    pool.call(here.url())
    pool.call(there.url())

    def gone() -> bool:
        gc.collect()
        return telemetry.value(semconv.POOL_DISCARDED) == 1

    wait_until(gone)
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS, port=here.port) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, port=there.port) == 1
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 1


def test_forwarding_proxy_serves_many_origins_with_one_pool(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """Each request has the origin that it asks for, on a connection that they share."""
    proxy = listen(HTTP1Server)
    pool: Any = runner.pool(library, proxy=proxy.origin)
    for host in ("one.test", "other.test:8080"):
        response = pool.open(f"http://{host}/")
        assert response.read() == b"ok"
    assert telemetry.by(semconv.LEASE_DURATION, "address", "port") == {
        ("one.test", 80): 1,
        ("other.test", 8080): 1,
    }
    assert_rows(telemetry, new(), reused())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 1


def test_pools_without_a_manager(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A pool that the application builds by itself, of a subclass as botocore has it."""
    assert (runner.mode, library.name) == ("sync", "urllib3")

    class Connection(urllib3.connection.HTTPConnection):
        def close(self) -> None:
            super().close()

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    with Pool("127.0.0.1", server.port) as pool:
        assert pool.request("GET", "/").data == b"ok"
        assert pool.request("GET", "/").data == b"ok"
        assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert_rows(telemetry, new(), reused())
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
