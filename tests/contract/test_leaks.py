"""Leaks: a response that nobody reads, told apart from a provider that is silent."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.installation import instrument
from support.libraries import Library
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


def test_unread_response_is_a_leak_and_a_silent_provider_is_none(
    untouched: Telemetry, runner: Runner, library: Library, server: HTTP1Server
) -> None:
    """Two connections: a read in flight for long, and a body that nobody reads."""
    instrument(untouched, leak_threshold=2)
    pool = runner.pool(library)
    gate = server.gate()
    silent = pool.send(server.reply("/silent", Reply(chunks=((gate, b"late"),))))
    silent.head()
    body = silent.begin_read()
    leaked = pool.send(server.reply("/leaked", Reply(end_after=gate)))
    leaked.head()
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 1, "the leak")
    wait_until(lambda: untouched.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 4)
    assert untouched.value(semconv.LEAK_SUSPECTED) == 1
    assert untouched.value(semconv.LEAKS) == 1
    gate.open()
    assert body.result(10) == b"late"
    leaked.close()
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 0)
    assert untouched.value(semconv.LEAKS) == 1
