"""The watch thread: its end, and the stacks that it logs."""

import threading
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.providers import CHAT, STREAM
from support.waiting import wait_until

from . import calls
from .reports import call_site

pytestmark = pytest.mark.anyio


def watches() -> int:
    """Return the number of watch threads."""
    return sum(thread.name == "gluellm-pool-watch" for thread in threading.enumerate())


async def left(llm: Any) -> Any:
    """Start a stream that is never read."""
    return await llm.acompletion(model="left", **STREAM)  # place: left


async def test_no_thread_is_left_after_uninstrument(server, clock, reports):
    """This holds with requests in flight, and after the next request."""
    llm = calls.create("openai", server)
    stream = await left(llm)
    assert watches() == 1
    GlueLLMInstrumentor().uninstrument()
    wait_until(lambda: not watches(), "its end")
    await llm.acompletion(model="m", **CHAT)
    assert not watches()
    await stream.aclose()
    await llm.client.close()
    assert reports.kept == []


async def test_leak_stacks_logs_the_whole_stack(server, instrument, reports):
    """All frames are logged, the innermost first, even if the event loop is blocked."""
    clock = instrument(leak_stacks=True)

    llm = calls.create("openai", server)
    stream = await left(llm)  # place: caller of left
    clock.advance(20)
    wait_until(reports.leaks, "the leak")
    await stream.aclose()
    await llm.client.close()
    (leak,) = reports.leaks()
    stack = [line.strip() for line in leak.stack.splitlines() if line]
    name = test_leak_stacks_logs_the_whole_stack.__name__
    expected = [call_site(__file__, "left", left), call_site(__file__, "caller of left", name)]
    assert leak.call_site == expected[0]
    assert [frame for frame in stack if frame in expected] == expected
    assert len(stack) > len(expected)
