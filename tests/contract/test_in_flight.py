"""Requests in flight at instrument() and uninstrument()."""

import time

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.pool import lease
from opentelemetry.instrumentation.gluellm.pool.lease import TrackedConnection
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.installation import instrument
from support.outcomes import assert_near, assert_rows, assert_settled
from support.proxies import HTTPProxy
from support.rows import Row, new, reused
from support.script import Reply
from support.waiting import wait_until


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_in_flight_at_instrument_continue_and_are_not_counted(
    runner, library, server, untouched
):
    """Requests that began before ``instrument()`` are not observed; the pool's later ones are.

    Earlier requests may get their connection, be read and be closed after it: no count becomes
    negative.
    """
    pool = runner.pool(library, max_connections=1)
    gates = [server.gate(), server.gate()]
    reading = pool.send(server.reply("/held", *(Reply(end_after=gate) for gate in gates)))
    reading.head()
    queued = pool.send(server.url("/held"))
    wait_until(lambda: pool.queued == 1)
    instrument(untouched)
    seen = pool.send(server.url("/seen"))
    wait_until(lambda: untouched.current("queued") == 1)
    # Either of the two may be assigned the connection first.
    bodies = [queued.begin_read(), seen.begin_read()]
    for gate in gates:
        gate.open()
    assert reading.read() == b"ok"
    assert [body.result(60) for body in bodies] == [b"ok", b"ok"]
    assert_settled(untouched, [seen], reused())
    assert untouched.phases()["queued"] > 0
    assert untouched.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert untouched.value(semconv.POOL_OPENED) == 1


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_from_before_instrument_are_listed_with_their_connections(
    runner, library, server, untouched
):
    """They are in no metric of phases. aiohttp lists no queue, urllib3 and gRPC no holders."""
    lists = {"httpx": ("reading", 1), "httpx2": ("reading", 1), "aiohttp": ("reading", 0)}
    if library.name not in lists:
        pytest.skip("the library does not list them")
    held, queued = lists[library.name]
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    reading = pool.send(server.reply("/held", Reply(end_after=gate)))
    reading.head()
    before = pool.send(server.url("/before"))
    wait_until(lambda: pool.queued == 1)
    instrument(untouched)
    seen = pool.send(server.url("/seen"))
    wait_until(lambda: untouched.current("queued") == 1)
    (found,) = snapshot().pools
    assert [(one.state, one.held_before) for one in found.connections] == [("active", held)]
    assert (found.queued_before, found.queued, found.in_flight) == (queued, 1, 1)
    assert "1 held since before the observation: reading 1" in str(snapshot())
    assert "oldest begun" not in str(snapshot())
    bodies = [before.begin_read(), seen.begin_read()]
    gate.open()
    assert reading.read() == b"ok"
    assert [body.result(60) for body in bodies] == [b"ok", b"ok"]
    (found,) = snapshot().pools
    assert [one.held_before for one in found.connections] == [None]
    assert found.queued_before == 0


def test_pool_from_before_instrument_is_observed(runner, library, server, untouched):
    """The idle connection of an existing client is reported, although its opening was not."""
    pool = runner.pool(library)
    pool.get(server.url())
    instrument(untouched)
    assert untouched.value(semconv.POOL_LIVE) == 0
    exchange = pool.get(server.url())
    assert_settled(untouched, [exchange], reused())
    assert untouched.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert untouched.value(semconv.CONNECTION_OPENED) == 0
    pool.close()
    untouched.check(OPEN_CONNECTIONS=0, POOL_LIVE=0)


@pytest.mark.only("httpx", "httpx2", "aiohttp", "urllib3")
def test_collection_and_first_request_give_a_connection_one_record(
    runner, library, server, untouched, monkeypatch
):
    """An export reads the pool while its first request makes the record of its idle connection."""
    pool = runner.pool(library)
    pool.get(server.url())
    instrument(untouched)
    init = TrackedConnection.__init__

    def init_and_collect(*args):
        init(*args)
        monkeypatch.setattr(TrackedConnection, "__init__", init)
        untouched.collect()

    monkeypatch.setattr(TrackedConnection, "__init__", init_and_collect)
    monkeypatch.setattr(lease, "_MISSING_TIME", 0)
    assert_settled(untouched, [pool.get(server.url())], reused())
    for _ in range(2):
        untouched.collect()
    assert untouched.closed() == {}
    pool.close()
    untouched.check(CONNECTION_CLOSED=1)


def test_tunnel_in_set_up_at_instrument_is_connecting(
    runner, library, listen, certificates, untouched
):
    """The connection to the proxy exists; the one to the origin does not."""
    proxy = listen(HTTPProxy)
    proxy.tunnel_after = tunnel = proxy.gate()
    server = listen(HTTP1Server, tls=certificates.server())
    through = library.core.Proxy(proxy.origin)
    trusting = certificates.client()
    pool = runner.pool(library, proxy=through, ssl_context=trusting, max_connections=1)
    unseen = pool.send(server.url("/unseen"))
    proxy.timeline.wait_for("connect")
    instrument(untouched)
    seen = pool.send(server.url("/seen"))
    wait_until(lambda: untouched.current("queued") == 1)
    untouched.check(CONNECTION_CONNECTING=1, OPEN_CONNECTIONS=0)
    tunnel.open()
    for exchange in (unseen, seen):
        exchange.finish()
    assert_settled(untouched, [seen], reused())
    assert untouched.value(semconv.CONNECTION_CONNECTING) == 0
    assert untouched.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_in_flight_at_uninstrument_continue_and_are_not_reported(
    runner, library, server, untouched
):
    """Requests continue in every phase."""
    instrument(untouched)
    pool = runner.pool(library, max_connections=2)
    reading, gate = pool.hold(server, "/read")
    body = reading.begin_read()
    waiting = pool.send(server.reply("/wait", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/wait")
    queued = pool.send(server.url("/queued"))
    wait_until(lambda: untouched.current("queued") == 1)
    GlueLLMInstrumentor().uninstrument()
    assert untouched.points(semconv.ACTIVE_REQUESTS) == []
    assert untouched.points(semconv.POOL_LIVE) == []
    gate.open()
    assert body.result(60) == b"ok"
    for exchange in (waiting, queued):
        assert exchange.finish() == b"ok"
    assert untouched.points(semconv.REQUESTS) == []
    assert untouched.count(semconv.LEASE_DURATION) == 0
    pool.get(server.url("/after"))
    assert untouched.points(semconv.REQUESTS) == []


def test_requests_in_flight_during_reinstrument_are_not_counted_twice(
    runner, library, server, untouched
):
    """The end of an old request is not counted; new requests count once.

    The old request's acquire and its connection's set-up were recorded before.
    """
    instrument(untouched)
    pool = runner.pool(library, max_connections=1)
    old, gate = pool.hold(server, "/old")
    GlueLLMInstrumentor().uninstrument()
    instrument(untouched)
    of_the_old_one = sum(untouched.phases().values())
    queued = pool.send(server.url("/new"))
    wait_until(lambda: untouched.current("queued") == 1)
    gate.open()
    assert old.read() == b"ok"
    queued.finish()
    last = pool.get(server.url("/last"))
    before_its_end = Row(created=True, lease=False, left=False)
    assert_rows(untouched, reused(), reused(), before_its_end)
    whole = sum(untouched.phases().values()) - of_the_old_one
    assert_near(whole, queued.duration + last.duration)
    assert untouched.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


@pytest.mark.modes("sync", "asyncio", "trio")
def test_time_by_phase_does_not_fall_after_reinstrument(runner, library, server, untouched):
    """The time of requests in flight stays counted and hides no other request's time.

    It is a counter of the same Meter: after a fall, later requests would have to exceed the old
    value first.
    """
    instrument(untouched)
    pool = runner.pool(library)
    old, never = pool.hold(server, "/old")
    wait_until(lambda: untouched.phases()["unread"] > 0.3)
    GlueLLMInstrumentor().uninstrument()
    old.close()
    instrument(untouched)
    before = untouched.phases()
    exchange = pool.send(server.reply("/new", Reply(end_after=never)))
    exchange.head()
    exchange.close()
    # The pool is observed again, so its earlier times are exported again.
    since = untouched.phases()
    assert since["unread"] >= max(before["unread"], 0.3)
    last = pool.send(server.url("/new"))
    last.head()
    wait_until(lambda: untouched.current("unread") == 1)
    begun, at = untouched.phases()["unread"], time.monotonic()
    wait_until(lambda: time.monotonic() > at + 0.1)
    assert untouched.phases()["unread"] - begun >= 0.1
    last.close()
    assert untouched.value(semconv.ACTIVE_REQUESTS) == 0


def test_queue_is_empty_after_reinstrument(runner, library, server, untouched):
    """Requests queued at uninstrument() are no longer counted; only the next request is queued."""
    instrument(untouched)
    pool = runner.pool(library, max_connections=1)
    gates = [server.gate(), server.gate()]
    old = pool.send(server.reply("/held", *(Reply(head_after=gate) for gate in gates)))
    server.timeline.wait_for("request", "/held")
    queued = pool.send(server.url("/held"))
    wait_until(lambda: untouched.current("queued") == 1)
    GlueLLMInstrumentor().uninstrument()
    instrument(untouched)
    gates[0].open()
    old.finish()
    server.timeline.wait_for("request", "/held", count=2)
    last = pool.send(server.url("/last"))
    wait_until(lambda: untouched.value(semconv.PEAK_QUEUED))  # it enters the queue, then waits
    untouched.check(PEAK_QUEUED=1)
    assert untouched.current("queued") == 1
    gates[1].open()
    for exchange in (queued, last):
        exchange.finish()
    assert untouched.value(semconv.ACTIVE_REQUESTS) == 0


def test_instrument_twice_counts_once(runner, library, server, untouched):
    """A second ``instrument()`` is harmless."""
    instrument(untouched)
    instrument(untouched)
    pool = runner.pool(library)
    pool.get(server.url())
    assert_rows(untouched, new())
