"""The watch thread: its end, and the stacks that it logs."""

from typing import Any

import pytest

from support.providers import STREAM
from support.waiting import wait_until

from . import calls
from .reports import call_site

pytestmark = pytest.mark.anyio


async def left(llm: Any) -> Any:
    """A stream that nobody reads."""
    return await llm.acompletion(model="left", **STREAM)  # place: left


async def test_leak_stacks_logs_the_whole_stack(server, instrument, reports):
    """Every frame, the innermost first; and though the event loop is blocked."""
    clock = instrument(leak_stacks=True)

    llm = calls.create("openai", server)
    stream = await left(llm)  # place: caller of left
    clock.advance(3)
    wait_until(reports.leaks, "the leak")
    await stream.aclose()
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
