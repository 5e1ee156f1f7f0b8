"""Connections between requests: reused, expired, closed by either side, evicted."""

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.outcomes import assert_settled
from support.rows import new
from support.script import Reply
from support.waiting import wait_until


@pytest.mark.modes("sync", "asyncio", "trio")
def test_expired_connection_is_closed_with_its_reason(runner, library, server, telemetry):
    """An expired connection is closed, at the latest by the request that makes a new one."""
    pool = runner.pool(library, keepalive_expiry=0.05)
    first = pool.get(server.url())
    if library.closes_expired_itself:
        wait_until(lambda: telemetry.closed() == {"keepalive_expired": 1})
    else:
        wait_until(lambda: all(connection.has_expired() for connection in pool.connections))
        assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
        assert telemetry.value(semconv.CONNECTION_CLOSED) == 0
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), new())
    expired = 2 if library.closes_expired_itself else 1
    wait_until(lambda: telemetry.closed() == {"keepalive_expired": expired})
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 2 - expired


@pytest.mark.all_pairs
def test_connection_evicted_below_the_keepalive_limit_has_its_reason(
    runner, library, listen, telemetry
):
    """httpcore2 evicts an idle connection if the pool is full.

    httpcore 1.0.9 keeps no idle connection in a full pool: it closes it earlier, for the limit.
    """
    here, there, elsewhere = listen(HTTP1Server), listen(HTTP1Server), listen(HTTP1Server)
    pool = runner.pool(library, max_connections=2, max_keepalive_connections=1)
    gate = there.gate()
    first = pool.get(here.url())
    holder = pool.send(there.reply("/held", Reply(end_after=gate)))
    holder.head()
    other = pool.get(elsewhere.url())
    gate.open()
    holder.close()
    assert_settled(telemetry, [first, holder, other], new(), new(), new())
    reasons = telemetry.closed()
    if library.name == "httpx":
        assert "evicted" not in reasons
    else:
        assert reasons["evicted"] == 1
        assert telemetry.value(semconv.OPEN_CONNECTIONS, port=here.port) == 0


@pytest.mark.parametrize("asker", ["server", "client"])
def test_connection_close_header_is_the_close_reason(pool, server, telemetry, asker):
    """The header comes from either side."""
    header = (("Connection", "close"),)
    server.reply("/", Reply(headers=header if asker == "server" else ()))
    first = pool.get(server.url(), headers=header if asker == "client" else ())
    assert telemetry.closed() == {"connection_close": 1}
    second = pool.get(server.url("/kept"))
    assert_settled(telemetry, [first, second], new(), new(), closed={"connection_close": 1})
    assert server.timeline.count("accept") == 2
