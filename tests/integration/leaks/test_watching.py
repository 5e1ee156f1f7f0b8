"""The watch thread: when it runs and what it logs."""

import threading
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.waiting import until, wait_until

from . import calls
from .reports import call_site

pytestmark = pytest.mark.anyio


def watches() -> int:
    """How many threads watch."""
    return sum(thread.name == "gluellm-pool-watch" for thread in threading.enumerate())


async def left(llm: Any, number: int = 1) -> list[Any]:
    """Streams that nobody reads."""
    streams = []
    for _ in range(number):
        # A comprehension is a function of its own before Python 3.12.
        streams.append(await llm.acompletion(model="left", **calls.STREAM))  # place: left
    return streams


async def test_watch_runs_only_while_requests_are_in_flight(server, clock):
    """It starts with a request and ends some passes after the last one."""
    llm = calls.create("openai", server)
    assert not watches()
    await llm.acompletion(model="m", **calls.CHAT)
    assert watches() == 1
    await clock.looked(5)
    assert watches() == 1  # it does not come and go with each call
    await until(lambda: not watches(), "the rest")
    await llm.acompletion(model="m", **calls.CHAT)
    assert watches() == 1
    await llm.client.close()


async def test_no_thread_is_left_after_uninstrument(server, clock, reports):
    """This holds with requests in flight, and after the next request."""
    llm = calls.create("openai", server)
    held = await left(llm)
    assert watches() == 1
    GlueLLMInstrumentor().uninstrument()
    assert not watches()
    await llm.acompletion(model="m", **calls.CHAT)
    assert not watches()
    await held[0].aclose()
    await llm.client.close()
    assert reports.kept == []


async def test_leaks_of_one_call_site_are_logged_once_with_their_number(
    server, clock, telemetry, reports
):
    """Later ones are counted and logged after ten minutes."""
    llm = calls.create("openai", server)
    streams = await left(llm, 5)
    clock.advance(3)
    await until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 5, "five leaks")
    await until(reports.leaks, "a line in the log")
    streams += await left(llm, 2)
    clock.advance(500)
    await until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 7, "seven leaks")
    await clock.looked()
    (leak,) = reports.leaks()
    assert leak.number == "5"
    assert leak.call_site == call_site(__file__, "left", left)
    clock.advance(101)
    await until(lambda: len(reports.leaks()) == 2, "those that came later")
    assert reports.leaks()[1].number == "2"
    await llm.client.close()
    assert telemetry.value(semconv.LEAKS) == 7


async def test_leak_threshold_of_zero_disables_leak_detection(
    server, instrument, telemetry, reports
):
    clock = instrument(leak_threshold=0)

    llm = calls.create("openai", server)
    streams = await left(llm)
    clock.advance(10_000)
    await clock.looked()
    assert telemetry.value(semconv.LEAK_SUSPECTED) == telemetry.value(semconv.LEAKS) == 0
    await streams[0].aclose()
    await llm.client.close()
    assert reports.kept == []


async def test_leak_stacks_logs_the_whole_stack(server, instrument, reports):
    """Every frame, the innermost first; and though the event loop is blocked."""
    clock = instrument(leak_stacks=True)

    llm = calls.create("openai", server)
    streams = await left(llm)  # place: caller of left
    clock.advance(3)
    wait_until(reports.leaks, "the leak")
    await streams[0].aclose()
    await llm.client.close()
    (leak,) = reports.leaks()
    stack = [line.strip() for line in leak.stack.splitlines() if line]
    name = test_leak_stacks_logs_the_whole_stack.__name__
    expected = [
        call_site(__file__, "left", left),
        call_site(__file__, "caller of left", name),
    ]
    assert leak.call_site == expected[0]
    assert [frame for frame in stack if frame in expected] == expected
    assert len(stack) > len(expected)
