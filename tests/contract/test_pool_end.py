"""The end of a pool: closed or garbage collected."""

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.outcomes import assert_settled
from support.rows import failed, new, pool_timeout, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import PATIENCE, wait_until, wait_until_collected


def close_now(pool: Any, runner: Runner) -> None:
    """Close the library's pool without waiting for requests in flight."""
    pool.raw.close() if runner.portal is None else runner.portal.call(pool.raw.aclose)


def assert_at_the_server(telemetry: Telemetry) -> None:
    """The queued request now awaits its response and is no longer connecting."""
    wait_until(lambda: telemetry.current("awaiting_response") == 1, "the waiter is at the server")
    assert telemetry.current("connecting") == 0


def test_closed_pool_that_serves_again_is_counted_as_before(pool, runner, server, telemetry):
    """httpcore accepts requests after ``close()``."""
    first = pool.get(server.url())
    close_now(pool, runner)
    second = pool.get(server.url())
    third = pool.get(server.url())
    assert_settled(telemetry, [first, second, third], new(), new(), reused())
    telemetry.check(POOL_LIVE=1, OPEN_CONNECTIONS=1)


def test_request_of_a_closed_pool_ends_once(pool, server, telemetry):
    """Its connection is closed with the pool."""
    exchange, _ = pool.hold(server, "/")
    assert exchange.chunk() == b"ok"
    pool.close()
    assert telemetry.closed() == {"pool_closed": 1}
    exchange.close()
    assert_settled(telemetry, [exchange], new(), closed={"pool_closed": 1})
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_request_queued_before_close_is_served_by_a_later_connection(
    pool_of_one, runner, server, telemetry
):
    """The pool is tracked again by then; its connection is opened once."""
    holder, _ = pool_of_one.hold(server)
    gate = server.gate()
    waiter = pool_of_one.send(server.reply("/queued", Reply(head_after=gate)))
    wait_until(lambda: pool_of_one.queued == 1)
    close_now(pool_of_one, runner)
    last = pool_of_one.send(server.url("/last"))
    server.timeline.wait_for("request", "/queued")
    assert_at_the_server(telemetry)
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    gate.open()
    waiter.finish()
    last.finish()
    holder.close()
    assert_settled(telemetry, [holder, waiter, last], new(), new(), reused())


def test_request_queued_before_close_keeps_its_connection_after_a_second_close(
    pool_of_one, runner, library, server, telemetry
):
    """The pool served other requests in between, which are over by then."""
    never, gate = server.gate(), server.gate()
    holder = pool_of_one.send(server.reply("/held", Reply(end_after=never)))
    holder.head()
    first = pool_of_one.send(server.reply("/first", Reply(end_after=never)))
    wait_until(lambda: pool_of_one.queued == 1)
    second = pool_of_one.send(server.reply("/second", Reply(head_after=gate)))
    wait_until(lambda: pool_of_one.queued == 2)
    close_now(pool_of_one, runner)
    other = pool_of_one.send(server.url("/other"), pool=0.05)
    assert isinstance(other.failure(), library.raises("pool_timeout"))
    first.head()
    close_now(pool_of_one, runner)
    first.close()
    server.timeline.wait_for("request", "/second")
    assert_at_the_server(telemetry)
    assert telemetry.value(semconv.CONNECTION_OPENED) == 3
    gate.open()
    second.finish()
    holder.close()
    ended = [holder, first, second, other]
    assert_settled(telemetry, ended, new(), new(), new(), pool_timeout())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_connection_made_by_a_closed_pool_is_closed_once(pool_of_one, runner, server, telemetry):
    """It was made for a queued request, and the pool's next request reuses it."""
    holder, _ = pool_of_one.hold(server)
    waiter = pool_of_one.send(server.url("/queued"))
    wait_until(lambda: pool_of_one.queued == 1)
    close_now(pool_of_one, runner)
    holder.close()
    waiter.finish()
    last = pool_of_one.get(server.url("/last"))
    rows = new(), new(), reused()
    assert_settled(telemetry, [holder, waiter, last], *rows, closed={"pool_closed": 1})
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    pool_of_one.forget()

    wait_until_collected(
        lambda: telemetry.value(semconv.POOL_DISCARDED, discard="garbage_collected") == 1,
        "the pool is collected",
    )
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 2


@pytest.mark.modes("sync", "asyncio", "trio")
def test_read_after_the_pool_is_closed_is_a_failed_request(pool, server, telemetry):
    exchange, _ = pool.hold(server, "/")
    assert exchange.chunk() == b"ok"
    pool.close()
    assert exchange.begin_read().exception(PATIENCE) is not None
    assert_settled(telemetry, [exchange], failed("client_closed", status=200))
    assert telemetry.closed() == {"pool_closed": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_garbage_collected_pool_ends_the_lease_of_its_open_response(
    pool, library, server, telemetry
):
    """No request stays in a phase."""
    exchange, _ = pool.hold(server, "/")
    exchange.abandon()
    del exchange
    pool.forget()

    wait_until_collected(
        lambda: telemetry.value(semconv.POOL_DISCARDED) == 1, "the pool is collected"
    )
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert all(telemetry.current(phase) == 0 for phase in semconv.PHASES)
    assert telemetry.count(semconv.LEASE_DURATION) == 1
    # A garbage-collected response of urllib3 closes its connection itself.
    ended_by = "response_incomplete" if library.name == "urllib3" else "garbage_collected"
    assert telemetry.closed() == {ended_by: 1}
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_unused_pool_is_not_reported(runner, library, server, telemetry):
    """SDKs build pools that they never use. A pool counts from its first request on."""
    unused = runner.pool(library)
    assert telemetry.value(semconv.POOL_OPENED) == 0
    unused.close()
    assert telemetry.value(semconv.POOL_DISCARDED) == 0
    used = runner.pool(library)
    exchange, gate = used.stall(server)
    assert telemetry.value(semconv.POOL_LIVE) in (0, 1)
    gate.open()
    exchange.finish()
    assert_settled(telemetry, [exchange], new())
    assert telemetry.value(semconv.POOL_LIVE) == 1
