"""Where a blocked loop is: named while it is busy, silent while it waits."""

from __future__ import annotations

import asyncio
import threading
from itertools import takewhile
from pathlib import Path

from opentelemetry.instrumentation.gluellm.diagnosis.busy_loops import call_sites_of_busy_loops
from support.waiting import wait_until


def told_of(thread: threading.Thread) -> list[str]:
    """The lines on one thread."""
    lines = iter(call_sites_of_busy_loops())
    start = f"event loop of thread {thread.native_id}, innermost frame first"
    if start not in lines:  # which takes those before it
        return []
    return list(takewhile(lambda line: line.startswith("  "), lines))


def test_a_busy_loop_is_reported_with_its_frames_and_a_waiting_one_is_not() -> None:
    """The innermost first, without the loop's own."""
    release, gate = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def blocks() -> None:
        release.wait()

    async def run() -> None:
        await blocks()
        await gate.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="a name\n\x1b[2J")
    thread.start()
    try:
        # The event is Python too, so the frames of interest stand below its own.
        lines = wait_until(lambda: [x for x in told_of(thread) if Path(__file__).name in x])
        assert lines[0].endswith(
            "test_a_busy_loop_is_reported_with_its_frames_and_a_waiting_one_is_not.<locals>.blocks"
        )
        assert lines[1].endswith(".<locals>.run")
        assert not any("asyncio" in line for line in told_of(thread))
        assert "a name" not in "".join(call_sites_of_busy_loops())  # its name is the application's
        release.set()
        wait_until(lambda: not told_of(thread), "the loop waits")
    finally:
        release.set()
        loop.call_soon_threadsafe(gate.set)
        thread.join()
        loop.close()
