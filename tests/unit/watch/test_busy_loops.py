"""Stacks of event loops: reported while a loop is busy, and not while it waits."""

import asyncio
import threading

from opentelemetry.instrumentation.gluellm.watch.busy_loops import busy_loops
from support.waiting import wait_until


def test_a_busy_loop_is_reported_with_its_frames_and_a_waiting_one_is_not():
    """The innermost frame comes first; the loop's own frames are left out."""
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
        # The event's frames are Python as well, and the innermost; the call site is in this file.
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
