"""Where a blocked loop is: named while it is busy, silent while it waits."""

import asyncio
import threading

from opentelemetry.instrumentation.gluellm.watch.busy_loops import busy_loops
from support.waiting import wait_until


def test_a_busy_loop_is_reported_with_its_frames_and_a_waiting_one_is_not():
    """The innermost first, without the loop's own."""
    release, gate = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def blocks():
        release.wait()

    async def run():
        await blocks()
        await gate.wait()

    def places():
        return [line for stack in busy_loops() for line in stack if "test_busy_loops" in line]

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        # The event is Python too: its frames are the innermost ones, and the call site is ours.
        site, *frames = wait_until(places)
        assert site == frames[0]
        assert frames[0].endswith(".<locals>.blocks")
        assert frames[1].endswith(".<locals>.run")
        assert not any("asyncio" in line for stack in busy_loops() for line in stack)
        release.set()
        wait_until(lambda: not places(), "the loop waits")
    finally:
        release.set()
        loop.call_soon_threadsafe(gate.set)
        thread.join()
        loop.close()
