"""Calls and their stages, on a clock that tests advance."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.streams import wrap_stream
from opentelemetry.instrumentation.gluellm.pool import call as call_module
from opentelemetry.instrumentation.gluellm.pool.call import Call, CallLedger
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.vocabulary import (
    ANY_LLM,
    GLUELLM,
    OTHER,
    OUTCOMES,
    REQUESTING,
    SDK,
    STAGES,
)
from support.waiting import PATIENCE

from .fakes import SECOND, Scene


def begin(
    scene: Scene, *, source: str = ANY_LLM, provider: str | None = "openai", **settings: Any
) -> Call:
    """Begin a call, to which requests can be attributed."""
    counted = scene.registry.calls.begin(source, "chat", provider=provider, **settings)
    call = Call("openai", "m", "chat")
    call.counted, call.ends_counted = counted, True
    call.start()
    return call


def leave(scene: Scene, lease: Lease, status: int = 200, error: str | None = None) -> None:
    """End a request, on its own connection, with a status or an error."""
    if not lease.connection:
        scene.tracker.assigned(lease, scene.connection(established=True))
    if status:
        scene.tracker.answered(lease, status)
    if error is None:
        scene.tracker.released(lease)
    else:
        scene.tracker.failed(lease, error)


def only(scene: Scene) -> CallLedger:
    (ledger,) = scene.registry.calls.ledgers.known.values()
    return ledger


def outcomes(ledger: CallLedger) -> dict[str, int]:
    """Number of ended calls by outcome, without zeros."""
    total: Counter[str] = Counter()
    for counts in ledger.calls.values():
        total.update(dict(zip(OUTCOMES, counts, strict=True)))
    return {outcome: count for outcome, count in total.items() if count}


def seconds(spent: list[int]) -> dict[str, float]:
    return {stage: time / SECOND for stage, time in zip(STAGES, spent, strict=True) if time}


class Items:
    """What an SDK returns for a streamed call."""

    def __iter__(self) -> Items:
        return self

    def __next__(self) -> int:
        return 1

    def close(self) -> None:
        pass


def test_time_of_requests_is_that_of_their_own_time_stamps(scene):
    """These are waits for a connection and for the head, with and without an answer."""
    call = begin(scene)
    lease = scene.queue(call=call)
    scene.clock.advance(3)
    scene.tracker.assigned(lease, scene.connection(established=True))
    scene.clock.advance(2)
    scene.tracker.answered(lease, 200)
    scene.clock.advance(10)
    scene.tracker.released(lease)
    scene.clock.advance(1)
    second = scene.acquire(call=call)
    scene.clock.advance(4)
    scene.tracker.failed(second, "read_timeout")
    third = scene.queue(call=call)
    scene.clock.advance(7)
    scene.tracker.failed(third, "pool_timeout")
    scene.drain()
    counted = call.counted
    assert (counted.queued / SECOND, counted.awaiting_response / SECOND) == (10, 6)
    assert seconds(counted.spent) == {"requesting": 26, "finishing": 1}


@pytest.mark.parametrize(
    ("status", "error", "raised", "reported"),
    [
        (429, None, RuntimeError(), "429"),
        (503, None, RuntimeError(), "503"),
        (0, "connect_timeout", RuntimeError(), "connect_timeout"),
        (0, "cancelled", TimeoutError(), "timeout"),
        (429, "cancelled", RuntimeError(), "429"),
        (0, "cancelled", RuntimeError(), "RuntimeError"),
        (200, None, ValueError(), "ValueError"),
        (200, None, TimeoutError(), "TimeoutError"),
        (None, None, KeyError(), "KeyError"),
    ],
)
def test_error_type_of_a_failed_call(scene, status, error, raised, reported):
    """The last request's reason comes first, since SDKs raise exceptions of their own for it."""
    call = begin(scene)
    if status is not None:
        leave(scene, scene.enter(call), status, error)
    call.end_by(raised)
    assert only(scene).errors == {reported: 1}
    assert only(scene).unsent == (status is None)


def test_call_that_fails_during_its_first_request_has_sent_it(scene):
    call = begin(scene)
    scene.enter(call)
    scene.clock.advance(1)
    call.end_by(KeyError())
    assert only(scene).unsent == 0


class _Nameless(type):
    @property
    def __name__(cls) -> str:
        raise RuntimeError("no name")


class _NamelessError(Exception, metaclass=_Nameless):
    """An error whose class makes reading its name fail."""


@pytest.mark.parametrize(
    ("raised", "reported"),
    [
        (StopIteration(), "StopIteration"),
        (StopAsyncIteration(), "StopAsyncIteration"),
        (_NamelessError(), OTHER),
    ],
)
def test_any_exception_that_leaves_an_unstreamed_call_fails_it(scene, raised, reported):
    """A provider that reads ahead in an empty stream raises the end of an iterator."""
    begin(scene).end_by(raised)
    assert only(scene).errors == {reported: 1}


def test_names_of_exceptions_operations_and_providers_are_bounded(scene):
    """A program can have any number of them."""
    calls = scene.registry.calls
    for number in range(60):
        counted = calls.begin(ANY_LLM, f"operation {number % 9}", provider=f"p{number}")
        counted.end_by(type(f"Error{number}\x1b", (Exception,), {})())
    known = calls.ledgers.known
    assert len(known) == call_module.MAX_LEDGERS + 1
    errors = {error for ledger in known.values() for error in ledger.errors}
    assert len(errors) == call_module.MAX_ERROR_NAMES + 1
    assert all(error.isprintable() for error in errors)
    operations = {operation for ledger in known.values() for operation in ledger.calls}
    assert len(operations) == call_module.MAX_OPERATIONS + 1
    assert OTHER in errors & operations
    assert sum(sum(outcomes(ledger).values()) for ledger in known.values()) == 60


def test_call_without_a_known_provider_counts_for_that_of_its_first_request(scene):
    """Its time before that is added then. Without any request it counts when it ends."""
    call = begin(scene, source=GLUELLM, provider=None)
    counted = call.counted
    scene.clock.advance(3)
    assert scene.registry.calls.state() == []
    counted.found_provider("groq")
    (state,) = scene.registry.calls.state()
    assert (state.ledger.provider, seconds(state.spent)) == ("groq", {"preparing": 3})
    call.end()
    begin(scene, source=GLUELLM, provider=None).end()
    assert {provider for provider, _ in scene.registry.calls.ledgers.known} == {"groq", None}


def test_threshold_of_silence_follows_the_longest_waits(scene):
    """Unstreamed: at least 10 minutes until answers cover 12, then three times the longest."""
    calls = scene.registry.calls

    def silent_after(wait):
        lease = scene.enter(call := begin(scene))
        found = []
        for step in (wait - 1, 1):
            scene.clock.advance(step)
            found.append(calls.state()[0].silent)
        leave(scene, lease)
        call.end()
        return found

    def answered_after(wait, times):
        for _ in range(times):
            lease = scene.enter(call := begin(scene))
            scene.clock.advance(wait)
            assert calls.state()[0].silent == 0
            leave(scene, lease)
            call.end()

    answered_after(0.3, 94)
    assert silent_after(600) == [0, 1]
    assert silent_after(1800) == [0, 1]
    answered_after(90, 150)
    assert silent_after(270) == [0, 1]
    # Few calls, of which one in twenty takes 400 s: one in much more than an hour.
    for _ in range(10):
        answered_after(400, 1)
        answered_after(90, 10)
        scene.clock.advance(3500)
        answered_after(90, 9)


def test_stream_is_silent_while_the_application_waits_for_an_item(scene):
    """A slow consumer is not silent. A wait up to three times the longest one is normal."""
    calls = scene.registry.calls
    call = begin(scene, streamed=True)
    lease = scene.enter(call)
    counted = call.counted
    counted.streams_to(call)

    def look():
        (state,) = calls.state()
        return state.silent, state.silence / SECOND

    scene.clock.advance(100)
    assert look() == (0, 0)
    call.steps, call.waiting = 1, True
    assert look() == (0, 0)
    scene.clock.advance(59)
    assert look() == (0, 59)
    scene.clock.advance(1)
    assert look() == (1, 60)
    scene.clock.advance(30)
    call.waiting = False
    assert look() == (0, 0)
    scene.clock.advance(100)
    call.steps, call.waiting = 2, True
    look()
    scene.clock.advance(269)
    assert look() == (0, 269)
    scene.clock.advance(1)
    assert look() == (1, 270)
    leave(scene, lease)
    assert look() == (0, 270)  # not in `requesting`: the SDK still has to parse
    call.end()
    assert look() == (0, 0)


@pytest.mark.parametrize(("waits", "longest"), [((5, 31, 2), 31), ((5, 2, 31), 31), ((), 0)])
def test_longest_wait_for_an_item_is_kept_with_the_answer(scene, waits, longest):
    """Also the last one, which ends with the stream."""
    call = begin(scene, streamed=True)
    lease = scene.enter(call)
    call.counted.streams_to(call)
    for number, wait in enumerate(waits, 1):
        call.steps, call.waiting = number, True
        scene.registry.calls.look()
        scene.clock.advance(wait)
    leave(scene, lease)
    scene.drain()
    assert [one.gap / SECOND for one in scene.ledger.answered] == [longest]


def test_download_is_in_neither_metric_of_silence(scene):
    """Reads of a download are not observed."""
    call = begin(scene)
    scene.enter(call)
    call.counted.streams_to(None)
    scene.clock.advance(3600)
    (state,) = scene.registry.calls.state()
    assert (state.silent, state.silence, state.count[REQUESTING]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("leaving", "outcome"), [(GeneratorExit, "abandoned"), (ValueError, "succeeded")]
)
def test_response_that_a_generators_close_ends_is_abandoned(scene, leaving, outcome):
    """An event loop that shuts down closes the pool's generator before the connection."""
    call = begin(scene, source=SDK)
    lease = scene.enter(call)
    call.counted.returned_open(call)
    try:
        raise leaving
    except leaving:
        leave(scene, lease)
    assert outcomes(only(scene)) == {outcome: 1}


def test_uninstall_counts_the_time_and_no_outcome(scene):
    """Later events change nothing."""
    call = begin(scene)
    lease = scene.enter(call)
    scene.clock.advance(5)
    scene.registry.close()
    scene.clock.advance(5)
    scene.tracker.released(lease)
    call.end()
    assert seconds(only(scene).spent) == {"requesting": 5}
    assert outcomes(only(scene)) == {}
    assert not scene.registry.calls.live


def test_forked_child_starts_from_nothing(scene):
    """The parent reports what it has counted, and continues with the calls in flight."""
    call = begin(scene)
    begin(scene).end()
    scene.registry.forget()
    assert not scene.registry.calls.live
    assert not scene.registry.calls.ledgers.known
    call.end()
    assert not scene.registry.calls.ledgers.known
    begin(scene).end()
    assert outcomes(only(scene)) == {"succeeded": 1}


def test_stream_dropped_in_another_thread_ends_its_call(scene):
    """A finalizer can run in any thread, and keeps no call alive."""
    call = begin(scene)
    stream = wrap_stream(Items(), call)
    call.counted.streams_to(call)
    next(stream)
    reference = weakref.ref(stream._stream)
    done = threading.Event()

    def drop(held):
        held.clear()
        done.set()

    held = [stream]
    del stream
    gc.disable()
    try:
        threading.Thread(target=drop, args=(held,), daemon=True).start()
        assert done.wait(PATIENCE)
    finally:
        gc.enable()
    assert reference() is None
    assert outcomes(only(scene)) == {"abandoned": 1}
    assert not scene.registry.calls.live


def test_call_reads_only_its_own_part_of_the_outbox():
    """The part begins with the call. A stream of the call entered at its head, before others."""
    scene = Scene()
    looks = 0

    class Before:
        """A lease that ended before the call."""

        ended_at = scene.clock()

        @property
        def call(self) -> None:
            nonlocal looks
            looks += 1

    scene.registry.outbox.items.extend(Before() for _ in range(500))
    scene.clock.advance(1)
    call = begin(scene)
    stream = scene.enter(call)
    scene.tracker.assigned(stream, scene.connection(established=True))
    scene.clock.advance(2)
    scene.tracker.answered(stream, 200)
    leave(scene, scene.enter())
    scene.tracker.released(stream)
    counted = call.counted
    assert counted is not None
    counted.account_requests()
    assert counted.awaiting_response == 2 * SECOND
    assert not looks
