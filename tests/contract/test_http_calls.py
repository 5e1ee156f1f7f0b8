"""Calls of source ``http``: requests to a known provider that are in no other call."""

import contextlib
import time

import pytest
from opentelemetry.trace import SpanKind

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.attribution.context import NO_CALL, current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.vocabulary import STAGES
from support.installation import instrument
from support.script import Failure, Reply
from support.waiting import wait_until

from .known_hosts import CHAT, LLM, OTHER, at

pytestmark = pytest.mark.only("httpx", "httpx2", "aiohttp", "urllib3")
EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)


def ended(telemetry, *keys):
    """Ended calls, by outcome or other keys."""
    return telemetry.by(semconv.CALLS, *(keys or ("outcome",)))


def test_request_that_calls_a_model_is_a_call(runner, library, server, scoped):
    """Its only stage is ``requesting``. Other requests of its pool are no calls."""
    pool = runner.pool(library)
    pool.send(at(server, LLM), body=b"{}").finish()
    pool.get(at(server, LLM, "/v1/models"))
    for host, path in ((LLM, "/v1/files"), (OTHER, CHAT)):
        pool.send(at(server, host, path), body=b"{}").finish()
    reading = scoped.now()
    keys = ("provider", "source", "outcome", "operation")
    assert ended(reading, *keys) == {("openai", "http", "succeeded", "_OTHER"): 1}
    spent = reading.by(semconv.CALL_TIME, "stage")
    assert spent.keys() == {"requesting"}
    assert {
        point.attributes[semconv.CALL_STAGE] for point in reading.points(semconv.CALL_CURRENT)
    } == {*STAGES}
    assert reading.value(semconv.CALL_CURRENT) == 0
    assert reading.count(semconv.CALL_DURATION) == 1


def test_call_is_in_flight_until_its_response_is_closed(runner, library, server, scoped):
    """One that is closed early is ``abandoned``."""
    pool, gate = runner.pool(library), server.gate()
    server.reply(CHAT, Reply(chunks=((0, b"a"), (gate, b"b"))))
    exchange = pool.send(at(server, LLM), body=b"{}")
    assert exchange.chunk() == b"a"
    assert scoped.by(semconv.CALL_CURRENT, "stage") == {"requesting": 1}
    exchange.close()
    wait_until(lambda: ended(scoped.now()) == {"abandoned": 1})
    assert scoped.value(semconv.CALL_CURRENT) == 0


def test_status_and_failure_decide_the_outcome(runner, library, server, scoped):
    """A refusal is a failure, since nothing shows whether it is sent again."""
    pool = runner.pool(library)
    replies = (
        Reply(status=429),
        Reply(status=503),
        Reply(failure=Failure.RESET_BEFORE_HEAD),
        Reply(failure=Failure.RESET_IN_BODY),
    )
    for reply in replies:
        server.reply(CHAT, reply)
        with contextlib.suppress(Exception):
            pool.send(at(server, LLM), body=b"{}").finish()
    reading = scoped.now()
    assert ended(reading) == {"failed": 4}
    errors = reading.by(semconv.CALL_ERRORS, "error")
    assert (errors.pop("429"), errors.pop("503")) == (1, 1)
    assert sum(errors.values()) == 2
    assert errors.keys() <= {"read_error", "connection_error", "protocol_error"}
    assert reading.value(semconv.CALL_RETRIES) == 0


def test_cancelled_request_is_a_cancelled_call(runner, library, server, scoped):
    """It waits for the head."""
    if runner.mode == "sync":
        pytest.skip("threads can't be cancelled")
    server.reply(CHAT, Reply(head_after=server.gate()))
    exchange = runner.pool(library).send(at(server, LLM), body=b"{}")
    server.timeline.wait_for("request", CHAT)
    exchange.cancel()
    wait_until(lambda: ended(scoped.now()) == {"cancelled": 1})


def test_request_in_another_call_is_no_call(runner, library, server, scoped):
    """Neither is one that an SDK sends for something else. After both, the next one is a call."""
    pool = runner.pool(library)
    for call, expected in ((Call("openai"), {}), (NO_CALL, {}), (Call("openai", ended=True), 1)):
        token = current_call.set(call)
        try:
            pool.send(at(server, LLM), body=b"{}").finish()
        finally:
            current_call.reset(token)
        assert ended(scoped.now()) == ({"succeeded": expected} if expected else {})


def test_silence_of_an_event_stream_is_the_time_since_the_last_byte(
    runner, library, server, scoped
):
    """Only while a read is in flight: a slow reader is no silence."""
    pool = runner.pool(library)
    first, last = server.gate(), server.gate()
    server.reply(CHAT, Reply(headers=EVENTS, chunks=((0, b":a"), (first, b":b"), (last, b":c"))))
    exchange = pool.send(at(server, LLM), body=b"{}")
    assert exchange.chunk() == b":a"
    scoped.collect()

    def silence():
        return scoped.value(semconv.CALL_SILENCE)

    assert silence() == 0
    pending = exchange.begin_chunk()
    wait_until(lambda: silence() > 0.2)
    first.open()
    assert pending.result(60) == b":b"
    assert silence() == 0
    pending = exchange.begin_chunk()
    began = time.monotonic()
    wait_until(lambda: silence() > 0)
    assert silence() <= time.monotonic() - began
    last.open()
    pending.result(60)
    exchange.finish()
    assert ended(scoped.now()) == {"succeeded": 1}
    assert silence() == 0


def test_response_that_is_no_stream_has_no_silence(runner, library, server, scoped):
    """Its wait counts as that of an unstreamed call."""
    runner.pool(library).send(at(server, LLM), body=b"{}").finish()
    (calls,) = snapshot().process.calls
    assert (calls.source, calls.oldest_silence) == ("http", None)


def test_call_in_flight_ends_without_outcome_with_the_installation(runner, library, server, scoped):
    """Its time so far stays counted."""
    pool, gate = runner.pool(library), server.gate()
    server.reply(CHAT, Reply(head_after=gate))
    exchange = pool.send(at(server, LLM), body=b"{}")
    server.timeline.wait_for("request", CHAT)
    wait_until(lambda: scoped.value(semconv.CALL_CURRENT) == 1)
    GlueLLMInstrumentor().uninstrument()
    gate.open()
    exchange.finish()
    instrument(scoped, scope="llm")
    reading = scoped.now()
    assert ended(reading) == {}
    assert reading.by(semconv.CALL_TIME, "stage")["requesting"] > 0


def test_no_call_without_the_setting(runner, library, server, untouched, scoped):
    """The pool is in scope nevertheless."""
    GlueLLMInstrumentor().uninstrument()
    instrument(untouched, scope="llm", calls=False)
    runner.pool(library).send(at(server, LLM), body=b"{}").finish()
    reading = untouched.now()
    assert reading.by(semconv.REQUESTS, "provider") == {"openai": 1}
    assert reading.points(semconv.CALLS) == []


def spans_of(telemetry):
    return telemetry.tracer_provider.get_tracer("test").start_as_current_span


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"provider.name": "openai"}, "openai"),
        ({"provider.name": "gcp.gemini"}, "gcp.gemini"),
        ({"system": "Mistral"}, "mistral_ai"),
        ({"provider.name": "Own Gateway"}, "own gateway"),
        ({}, None),
    ],
)
def test_request_under_a_genai_span_is_a_call(attributes, found, runner, library, server, scoped):
    """Also to an unknown host. The span has provider, operation and model."""
    attributes = {f"gen_ai.{key}": value for key, value in attributes.items()}
    attributes |= {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"}
    pool = runner.pool(library)
    with spans_of(scoped)("embeddings m", kind=SpanKind.CLIENT, attributes=attributes):
        pool.send(at(server, OTHER, "/"), body=b"{}").finish()
    reading = scoped.now()
    keys = ("provider", "source", "outcome", "operation")
    assert ended(reading, *keys) == {(found, "http", "succeeded", "embeddings"): 1}
    assert reading.by(semconv.REQUESTS, "address", "provider") == {(OTHER, found): 1}


def test_genai_span_completes_what_a_known_host_shows(runner, library, server, scoped):
    """The provider is that of the host."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "groq"}
    with spans_of(scoped)("chat", attributes=attributes):
        runner.pool(library).send(at(server, LLM), body=b"{}").finish()
    assert ended(scoped.now(), "provider", "operation") == {("openai", "chat"): 1}


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", None])
def test_request_of_a_tool_is_no_call(operation, runner, library, server, scoped):
    """Its pool stays out of scope."""
    attributes = {"gen_ai.operation.name": operation} if operation else {}
    with spans_of(scoped)("tool", attributes=attributes):
        runner.pool(library).send(at(server, OTHER), body=b"{}").finish()
    assert scoped.points(semconv.CALLS) == []
    assert scoped.points(semconv.POOL_OPENED) == []


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CONSUMER])
def test_span_of_another_kind_is_no_genai_span(kind, runner, library, server, scoped):
    """A server's span can have the attributes of the call that it serves."""
    attributes = {"gen_ai.operation.name": "chat"}
    with spans_of(scoped)("POST", kind=kind, attributes=attributes):
        runner.pool(library).send(at(server, OTHER), body=b"{}").finish()
    assert scoped.points(semconv.CALLS) == []


def test_unknown_providers_of_spans_are_bounded(runner, library, server, scoped):
    """Any text can be in a span."""
    pool = runner.pool(library)
    for number in range(12):
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": f"p\n{number}"}
        with spans_of(scoped)("chat", attributes=attributes):
            pool.send(at(server, OTHER), body=b"{}").finish()
    known = {f"p?{number}": 1 for number in range(10)}
    assert ended(scoped.now(), "provider") == {**known, "_OTHER": 2}
