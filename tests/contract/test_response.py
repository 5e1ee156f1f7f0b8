"""Responses: slow, interim, left before their end."""

import time

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.outcomes import assert_near, assert_phases, assert_settled
from support.rows import new, reused
from support.script import Reply
from support.waiting import wait_until


def test_phases_follow_the_servers_schedule(pool, server, telemetry):
    """A late head counts as awaiting, a late chunk as reading, a late reader as unread."""
    answer, gate = server.gate(), server.gate()
    chunks = ((0.0, b"a"), (gate, b"b"))
    reply = Reply(head_after=answer, status=201, chunks=chunks, end_after=0.15)
    first = pool.get(server.url("/first"))
    before = telemetry.phases()
    exchange = pool.send(server.reply("/", reply))
    server.timeline.wait_for("request", "/")
    assert telemetry.current("awaiting_response") == 1
    wait_until(lambda: time.monotonic() > exchange.entered + 0.15)
    answer.open()
    assert exchange.head() == 201
    wait_until(lambda: telemetry.current("unread") == 1)
    assert exchange.chunk() == b"a"
    wait_until(lambda: telemetry.current("unread") == 1)
    wait_until(lambda: time.monotonic() > exchange.answered + 0.15)
    rest = exchange.begin_read()
    begun = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 0
    wait_until(lambda: time.monotonic() > begun + 0.1)
    gate.open()
    assert rest.result(60) == b"b"
    assert_settled(telemetry, [first, exchange], new(), reused(201))
    timeline = server.timeline
    assert_phases(
        telemetry,
        since=before,
        awaiting_response=timeline.at("head", "/") - exchange.entered,
        unread=begun - exchange.answered,
        reading=exchange.left - begun,
    )


def test_time_by_phase_grows_while_a_request_hangs(pool, server, telemetry):
    exchange, gate = pool.stall(server, "/")
    before = telemetry.phases()["awaiting_response"]
    asked = time.monotonic()
    wait_until(lambda: time.monotonic() > asked + 0.1)
    passed = telemetry.phases()["awaiting_response"] - before
    assert_near(passed, time.monotonic() - asked)
    assert passed >= 0.1
    assert telemetry.count(semconv.LEASE_DURATION) == 0
    gate.open()
    exchange.finish()
    assert_settled(telemetry, [exchange], new())


def test_interim_response_is_not_the_answer(pool, server, telemetry):
    """The request awaits its response until the final status."""
    exchange = pool.get(server.reply("/", Reply(interim=100, head_after=0.15)))
    assert_settled(telemetry, [exchange], new())
    assert_phases(telemetry, awaiting_response=exchange.duration)


def test_exception_that_cuts_a_response_is_counted(pool, library, server, telemetry):
    """The request does not fail. Closing a response without an exception is not counted."""
    for _ in range(2):
        left, _ = pool.hold(server, "/")
        assert left.chunk() == b"ok"
        left.close()
        cut, _ = pool.hold(server, "/")
        assert cut.chunk() == b"ok"
        cut.leave()
    taken = snapshot()
    found = {k: n for items in taken.account.total.values() for k, n in items.items()}
    expected = {("cut", "ValueError"): 2} if library.reports_connections else {}
    assert {item: n for item, n in found.items() if item[0] == "cut"} == expected
    if library.reports_connections:
        assert telemetry.closed() == library.closed(response_incomplete=4)
        (totals,) = taken.totals
        assert [one.result for one in totals.failures] == ["ValueError"] * 2
        assert len(totals.answers) == 2


def test_request_that_the_library_refuses_to_send_is_invalid(pool, server, telemetry):
    """A line break in a header, as at the end of a key that was read from a file."""
    exchange = pool.send(server.url(), headers=(("X-Key", "secret\n"),))
    assert exchange.failure() is not None
    assert telemetry.requests() == {(None, "invalid_request"): 1}
